"""What the OpenAPI document says of this door's forms; they are read by hand, so that the key is
checked before the file is taken."""

from typing import Any

from whisperdrop_api.routes.events import EVENTS
from whisperdrop_api.schemas import FILE_ENCODING

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_COMMON: dict[str, Any] = {
    "file": {"type": "string", "format": "binary", "description": "The audio"},
    "model": {"type": "string", "example": "whisper-1"},
    "prompt": {"type": "string", "description": "Text that precedes the audio"},
    "response_format": {
        "type": "string",
        "enum": ["json", "text", "srt", "verbose_json", "vtt"],
        "default": "json",
    },
    "temperature": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
}
_TRANSCRIPTION: dict[str, Any] = _COMMON | {
    "language": {"type": "string", "description": "ISO 639-1 code of the speech, e.g. `en`"},
    "languages[]": _TEXTS,
    "keywords[]": _TEXTS | {"description": "Names and terms to expect"},
    "include[]": {"type": "array", "items": {"type": "string", "enum": ["logprobs"]}},
    "timestamp_granularities[]": {
        "type": "array",
        "items": {"type": "string", "enum": ["word", "segment"]},
        "description": "Needs `verbose_json`",
    },
    "stream": {"type": "boolean", "default": False, "description": "Server-sent events"},
    "chunking_strategy": {"type": "string", "description": "`auto`, or an object as JSON"},
}

_TEXT_TYPES: dict[str, Any] = {
    "text/plain": {"schema": _TEXT},
    "text/vtt": {"schema": _TEXT},
}


def _described(properties: dict[str, Any], schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    form = {"type": "object", "required": ["file", "model"], "properties": properties}
    content = {"application/json": {"schema": schema}} | _TEXT_TYPES | more
    return {
        "openapi_extra": {
            "requestBody": {
                "required": True,
                "content": {
                    "multipart/form-data": {
                        "schema": form,
                        "encoding": FILE_ENCODING,
                    }
                },
            },
            "responses": {"200": {"description": "The transcript", "content": content}},
        }
    }


_JSON: dict[str, Any] = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": _TEXT},
    "example": {"text": "The quick brown fox.", "usage": {"type": "duration", "seconds": 2.889}},
}

TRANSCRIPTION = _described(_TRANSCRIPTION, _JSON, **EVENTS)
TRANSLATION = _described(_COMMON, _JSON)

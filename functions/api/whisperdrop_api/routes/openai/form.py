"""The fields of a request, in every spelling that OpenAI's SDKs and people with curl use."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData

from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.errors import InvalidValueError
from whisperdrop_api.errors import describe

Task = Literal["transcribe", "translate"]
ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]
FORMATS: tuple[ResponseFormat, ...] = get_args(ResponseFormat)
STREAMED_FORMATS: tuple[ResponseFormat, ...] = ("json", "text")
Granularity = Literal["word", "segment"]

_MAX_PROMPT = 4000  # characters; far more than the 224 tokens of it that Whisper reads
_NO_SPEAKERS = "this server does not tell speakers apart"
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class AudioRequest:
    """What was asked for, beside the file."""

    model: str
    options: TranscribeOptions
    response_format: ResponseFormat = "json"
    granularities: frozenset[Granularity] = frozenset({"segment"})
    stream: bool = False


class _ServerVad(BaseModel):
    """Checked as OpenAI documents it; where to cut is the engine's own affair."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["server_vad"]
    prefix_padding_ms: int = Field(300, ge=0)
    silence_duration_ms: int = Field(200, ge=0)
    threshold: float = Field(0.5, ge=0, le=1)


def parse(form: FormData, task: Task) -> AudioRequest:
    """The request in ``form``; fields that are not known are passed over.

    Raises InvalidValueError with the field's name in ``param``.
    """
    model = _one(form, "model")
    if model is None:
        raise InvalidValueError("model: say which model, such as whisper-1", param="model")
    response_format = _response_format(form)
    if task == "translate":
        return AudioRequest(model, _options(form, task), response_format)
    granularities = _granularities(form, response_format)
    logprobs = _logprobs(form, response_format)
    stream = _boolean(form, "stream")
    if stream and response_format not in STREAMED_FORMATS:
        raise InvalidValueError(
            f"stream goes with response_format {_list(STREAMED_FORMATS)}", param="stream"
        )
    for name in ("known_speaker_names", "known_speaker_references"):
        if _many(form, name):
            raise InvalidValueError(f"{name}: {_NO_SPEAKERS}", param=name)
    options = _options(
        form,
        task,
        language=_language(form),
        hotwords=_keywords(form),
        vad_filter=True if _chunked(form) else None,
        word_timestamps="word" in granularities,
        logprobs=logprobs,
    )
    return AudioRequest(model, options, response_format, granularities, stream)


def _options(form: FormData, task: Task, **more: Any) -> TranscribeOptions:
    prompt = _one(form, "prompt")
    fields = {
        "task": task,
        "prompt": prompt and prompt[-_MAX_PROMPT:],  # its end is what Whisper reads
        "temperature": _one(form, "temperature"),
    } | more
    try:
        return TranscribeOptions.model_validate({k: v for k, v in fields.items() if v is not None})
    except ValidationError as error:
        place = error.errors()[0]["loc"]
        raise InvalidValueError(
            describe(error).message, param=str(place[0]) if place else None
        ) from error


def _response_format(form: FormData) -> ResponseFormat:
    asked = _one(form, "response_format") or "json"
    for name in FORMATS:
        if name == asked:
            return name
    reason = _NO_SPEAKERS if asked == "diarized_json" else f"{asked[:40]!r} is not known"
    raise InvalidValueError(
        f"response_format: {reason}; choose {_list(FORMATS)}", param="response_format"
    )


def _granularities(form: FormData, response_format: ResponseFormat) -> frozenset[Granularity]:
    name = "timestamp_granularities"
    asked = set(_many(form, name))
    if unknown := asked - set(get_args(Granularity)):
        raise InvalidValueError(
            f"{name}: {min(unknown)[:40]!r} is not known; choose word, segment", param=name
        )
    if asked and response_format != "verbose_json":
        raise InvalidValueError(f"{name} needs response_format verbose_json", param=name)
    return frozenset(one for one in get_args(Granularity) if one in (asked or {"segment"}))


def _logprobs(form: FormData, response_format: ResponseFormat) -> bool:
    asked = set(_many(form, "include"))
    if unknown := asked - {"logprobs"}:
        raise InvalidValueError(
            f"include: {min(unknown)[:40]!r} is not known; choose logprobs", param="include"
        )
    if asked and response_format != "json":
        raise InvalidValueError("include needs response_format json", param="include")
    return bool(asked)


def _language(form: FormData) -> str | None:
    one, several = _one(form, "language"), _many(form, "languages")
    if one is not None and several:
        raise InvalidValueError("send language or languages, not both", param="languages")
    for code in several:
        try:
            TranscribeOptions(language=code)
        except ValidationError as error:
            raise InvalidValueError(
                describe(error).message.replace("language", "languages", 1), param="languages"
            ) from error
    # Out of several the model chooses for itself, as it does without any.
    return several[0] if len(several) == 1 else one


def _keywords(form: FormData) -> str | None:
    words = _many(form, "keywords")
    if any(character in word for word in words for character in "<>\r\n"):
        raise InvalidValueError("keywords: each is one line without '<' or '>'", param="keywords")
    joined = ", ".join(words)
    if len(joined) > 1000:
        raise InvalidValueError("keywords: 1,000 characters at most together", param="keywords")
    return joined or None


def _chunked(form: FormData) -> bool:
    name = "chunking_strategy"
    nested = {
        match[1]: value
        for key, value in form.multi_items()
        if (match := re.fullmatch(rf"{name}\[(\w+)\]", key))
    }
    said = _one(form, name)
    try:
        value: object = nested or (json.loads(said) if said and said != "auto" else said)
        if value is None or value == "auto":
            return value is not None
        _ServerVad.model_validate(value)
    except (ValueError, RecursionError) as error:  # ValidationError is a ValueError
        raise InvalidValueError(
            f'{name}: send auto, or {{"type": "server_vad"}} with prefix_padding_ms, '
            "silence_duration_ms and threshold",
            param=name,
        ) from error
    return True


def _one(form: FormData, name: str) -> str | None:
    """The field's last value; an empty one is none."""
    values = form.getlist(name)
    if any(not isinstance(value, str) for value in values):
        raise InvalidValueError(f"{name}: send text, not a file", param=name)
    said = [value for value in values if isinstance(value, str) and value]
    return said[-1] if said else None


def _many(form: FormData, name: str) -> list[str]:
    """Every value of ``name``, ``name[]`` and ``name[0]``, ``name[1]``, …"""
    spelling = re.compile(rf"{name}(\[\d*\])?")
    found = [value for key, value in form.multi_items() if spelling.fullmatch(key)]
    if any(not isinstance(value, str) for value in found):
        raise InvalidValueError(f"{name}: send text, not a file", param=name)
    return [value for value in found if isinstance(value, str) and value]


def _boolean(form: FormData, name: str) -> bool:
    said = _one(form, name)
    if said is None:
        return False
    if said.lower() not in _BOOLEANS:
        raise InvalidValueError(f"{name}: send true or false", param=name)
    return _BOOLEANS[said.lower()]


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names)

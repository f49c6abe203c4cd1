"""A transcript as server-sent events, while the audio is still being transcribed."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from whisperdrop.domain.ids import JobRef
from whisperdrop.domain.job import JobStatus
from whisperdrop.domain.transcript import Segment
from whisperdrop.errors import WhisperdropError
from whisperdrop_api.composition import Services, logger
from whisperdrop_api.routes.openai.errors import body_of
from whisperdrop_api.routes.openai.failures import failure_of
from whisperdrop_api.routes.openai.rendering import logprobs_of
from whisperdrop_api.tailing import tail, with_heartbeats

_HEARTBEAT = ": keep-alive\n\n"


class Deltas:
    """Cuts a text into pieces that join to it exactly, though its ends are stripped of space."""

    def __init__(self) -> None:
        self.text = ""
        self._held = ""

    def add(self, piece: str) -> str:
        """What may be sent now; space waits for what comes after it."""
        whole = self._held + piece
        if not self.text:
            whole = whole.lstrip()
        delta = whole.rstrip()
        self._held = whole[len(delta) :]
        self.text += delta
        return delta


async def frames(services: Services, ref: JobRef, *, logprobs: bool) -> AsyncGenerator[str, None]:
    """Deltas as segments are finished, then the whole text; an error ends it too."""
    deltas = Deltas()
    said: list[dict[str, Any]] = []
    try:
        async for item in with_heartbeats(tail(services, ref)):
            if item is None:
                yield _HEARTBEAT
            elif isinstance(item, Segment):
                found = logprobs_of(item) if logprobs else []
                said += found
                if delta := deltas.add(item.text):
                    yield _event("delta", {"delta": delta}, found if logprobs else None)
            elif item.status is JobStatus.SUCCEEDED:
                yield _event("done", {"text": deltas.text}, said if logprobs else None)
            elif item.outcome is not None:
                yield _data(body_of(failure_of(item.outcome)).model_dump())
    except WhisperdropError as error:
        logger.warning("stream_failed", extra={"job_id": ref.job_id}, exc_info=error)
        yield _data(body_of(error).model_dump())
    except Exception:  # noqa: BLE001 - the status has been sent, so only this says that it failed
        logger.exception("unhandled_error", extra={"job_id": ref.job_id})
        broken = WhisperdropError("something went wrong on our side; it has been logged")
        yield _data(body_of(broken).model_dump())


def _event(kind: str, body: dict[str, Any], logprobs: list[dict[str, Any]] | None) -> str:
    more = {} if logprobs is None else {"logprobs": logprobs}
    return _data({"type": f"transcript.text.{kind}"} | body | more)


def _data(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"

"""Many recordings at once: hash, create, upload, wait, fetch, write; each on its own."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whisperdrop_client.aio import AsyncWhisperdrop
from whisperdrop_client.bodies import Source
from whisperdrop_client.command import exits
from whisperdrop_client.command.display import Display, Row
from whisperdrop_client.command.inputs import Input
from whisperdrop_client.command.outputs import Targets, write
from whisperdrop_client.command.result import Result
from whisperdrop_client.command.state import Identity, Memory
from whisperdrop_client.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    JobFailedError,
    NotFoundError,
    SourceChangedError,
    WhisperdropError,
)
from whisperdrop_client.models import FINAL, CreatedJob, Format, Job

UPLOADS_AT_ONCE = 3
CANCEL_S = 10.0
"""How long Ctrl-C waits for the server to take the cancellations."""


@dataclass(frozen=True)
class Wish:
    """The same for every recording of a call."""

    formats: Sequence[Format]
    fields: Mapping[str, Any]
    """Of the job: model, options, metadata."""
    cues: Mapping[str, Any]
    force: bool = False
    wait: bool = True
    again: bool = False
    """Transcribe even what was transcribed before."""


class Pipeline:
    """Runs recordings, ``at_once`` of them; knows which jobs to cancel when it is stopped."""

    def __init__(
        self,
        client: AsyncWhisperdrop,
        server: str,
        cache: Path,
        display: Display,
        wish: Wish,
        *,
        at_once: int,
        on_result: Callable[[Result], None],
    ) -> None:
        self._client = client
        self._server = server
        self._cache = cache
        self._display = display
        self._wish = wish
        self._at_once = at_once
        self._on_result = on_result
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._ours: dict[str, Memory] = {}
        self.results: list[Result] = []
        self.fatal: BaseException | None = None
        """An error that every other recording would meet too."""

    async def run(self, inputs: Sequence[Input], targets: Sequence[Targets]) -> None:
        """Until every recording has its result, or an error ends all."""
        waiting = iter(list(zip(inputs, targets, strict=True)))

        async def work() -> None:
            for item, files in waiting:
                if self.fatal is not None:
                    return
                await self._one(item, files)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._at_once, len(inputs))):
                group.create_task(work())

    async def cancel(self) -> int:
        """Cancel every job that this call started; how many of them the server took."""

        async def one(job_id: str, memory: Memory) -> bool:
            try:
                await self._client.jobs.cancel(job_id)
            except WhisperdropError:
                return False
            memory.ended()
            return True

        ours, self._ours = self._ours, {}
        async with asyncio.timeout(CANCEL_S):
            return sum(await asyncio.gather(*(one(*item) for item in ours.items())))

    @property
    def started(self) -> int:
        """Jobs of this call that go on."""
        return len(self._ours)

    async def _one(self, item: Input, files: Targets) -> None:
        result = Result(item.shown)
        row: Row | None = None
        began = time.monotonic()
        there = [] if self._wish.force else [t for t in files.values() if t.exists()]
        try:
            if files and len(there) == len(files):
                result.status = "skipped"
                result.outputs = [str(path) for path in there]
                result.message = f"{', '.join(result.outputs)} exists (--force writes it anew)"
            else:
                row = self._display.begin(item.shown)
                await self._transcribe(item, files, row, result)
        except (WhisperdropError, OSError) as error:
            result.status = "failed"
            result.message = exits.explain(error)
            result.code = getattr(error, "code", None) or _name(error)
            if exits.status_of(error) == exits.NO_SERVER:
                self.fatal = error
        except asyncio.CancelledError:
            result.status = "interrupted"
            raise
        finally:
            result.took_s = time.monotonic() - began
            self.results.append(result)
            self._display.end(row, result)
            self._on_result(result)

    async def _transcribe(self, item: Input, files: Targets, row: Row, result: Result) -> None:
        identity = Identity.of(item.path)
        memory = Memory(self._cache, self._server, identity)
        source = Source(item.path, item.name)
        async with self._uploads:
            if memory.sha256 is None:
                row.hashing()
                memory.hashed(await asyncio.to_thread(source.sha256))
            row.starting()
            created = await self._created(item, source, memory)
            result.job_id, result.deduplicated = created.job_id, created.deduplicated
            if not created.deduplicated and created.status not in FINAL:
                self._ours[created.job_id] = memory
            if created.upload is not None:
                await self._client.jobs.upload(created, item.path, on_bytes=row.sent)
                if Identity.of(item.path) != identity:
                    await self._client.jobs.cancel(created.job_id)
                    memory.ended()
                    raise SourceChangedError("the file changed while it was uploaded")
        if not self._wish.wait:
            self._ours.pop(created.job_id, None)
            memory.ended()
            result.status = "succeeded"
            result.texts = {"job": created.job_id}
            return
        job: Job = await self._client.jobs.wait(
            created.job_id, on_job=row.job, every=self._display.every_s
        )
        self._ours.pop(job.job_id, None)
        memory.ended()
        if not job.succeeded:
            raise JobFailedError(job)
        result.audio_s = job.usage.audio_s if job.usage else None
        row.fetching()
        await self._fetch(job.job_id, files, result)
        result.status = "succeeded"

    async def _created(self, item: Input, source: Source, memory: Memory) -> CreatedJob:
        """The job of this recording: the one that an earlier call began, or a new one."""
        request = {
            "filename": item.name,
            "size": source.size,
            "content_type": item.content_type,
            **self._wish.fields,
        }
        if not self._wish.again:
            request["content_sha256"] = memory.sha256
        try:
            created = await self._create(request, memory)
        except (ConflictError, NotFoundError, GoneError) as error:
            if error.code == "model_not_found":
                raise
            memory.ended()  # what the key stood for is gone
            return await self._create(request, memory)
        if created.status in FINAL and created.status != "succeeded":
            memory.ended()
            return await self._create(request, memory)
        if created.deduplicated and created.status == "awaiting_upload":
            # Somebody else's upload of the same bytes, which may never be finished.
            del request["content_sha256"]
            return await self._create(request, memory)
        return created

    async def _create(self, request: dict[str, Any], memory: Memory) -> CreatedJob:
        key = memory.key_for(request)
        return await self._client.jobs.create(**request, idempotency_key=key)

    async def _fetch(self, job_id: str, files: Targets, result: Result) -> None:
        for name in self._wish.formats:
            target = files.get(name)
            if target is not None and target.exists() and not self._wish.force:
                continue
            text = await self._client.jobs.render(job_id, name, **self._wish.cues)
            if target is None:
                result.texts[name] = text
            else:
                await asyncio.to_thread(write, target, text, force=self._wish.force)
                result.outputs.append(str(target))


def _name(error: BaseException) -> str:
    return "file_error" if isinstance(error, OSError) else type(error).__name__


async def check(client: AsyncWhisperdrop) -> None:
    """Ask something small before anything is read or sent; a key that may not ask it is no error.

    Raises what every recording would meet: no server, no valid key.
    """
    try:
        await client.models()
    except ForbiddenError:
        return

"""Objects of any bucket, transcribed without jobs, queues or an API: what AWS Batch runs.

Transcripts are written once, so whoever is started again goes on where the one before him died.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from whisperdrop.domain.formats import Format, render
from whisperdrop.domain.options import TranscribeOptions
from whisperdrop.errors import (
    InvalidValueError,
    JobError,
    LostRaceError,
    MediaMissingError,
    NotFoundError,
)
from whisperdrop.ports import ObjectStore
from whisperdrop_worker.decode import Decoder
from whisperdrop_worker.engine import Engine

_MOST_LINES_BYTES = 64 * 1024**2  # of a list: half a million addresses


@dataclass(frozen=True)
class Address:
    """``s3://bucket/key``."""

    bucket: str
    key: str

    @classmethod
    def of(cls, text: str) -> "Address":
        """Raises InvalidValueError."""
        # Not urlsplit: a key may hold what separates the parts of a URL.
        scheme, _, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket or not key:
            raise InvalidValueError(f"{text!r} is not an address like s3://bucket/key")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Errand:
    """What to transcribe, and where the transcript goes."""

    media: Address
    output: Address


def errand(media: Address, output: Address, format_: Format) -> Errand:
    """``output`` itself, or, where it ends with ``/``, a name made of the media's below it."""
    if output.key.endswith("/"):
        output = Address(output.bucket, f"{output.key}{media.key}.{format_}")
    return Errand(media, output)


def errands(
    lines: Iterable[str], output: Address, format_: Format, *, index: int, size: int
) -> list[Errand]:
    """Those of the ``index``-th of the pieces, ``size`` lines long, that a list is cut into.

    Blank lines do not count. Raises InvalidValueError.
    """
    if not output.key.endswith("/"):
        raise InvalidValueError("the output of a list is a folder: end it with a slash")
    named = [text for line in lines if (text := line.strip())]
    piece = named[index * size : (index + 1) * size]
    return [errand(Address.of(line), output, format_) for line in piece]


class ObjectTranscriber:
    """Does errands one after the other, with one engine."""

    def __init__(
        self,
        decoder: Decoder,
        engine: Engine,
        bucket: Callable[[str], ObjectStore],
        *,
        scratch: Path,
        max_bytes: int,
        say: Callable[[str], None],
    ) -> None:
        """``bucket`` opens a bucket by its name; ``say`` is told a line for each errand."""
        self._decoder = decoder
        self._engine = engine
        self._bucket = bucket
        self._scratch = scratch
        self._max_bytes = max_bytes
        self._say = say

    def lines(self, list_: Address) -> list[str]:
        """The lines of a list of addresses. Raises NotFoundError and StoreError."""
        found = self._bucket(list_.bucket).read_range(list_.key, 0, _MOST_LINES_BYTES)
        if found is None:
            raise NotFoundError(f"there is no list {list_}")
        return found.decode("utf-8", "replace").splitlines()

    def run(
        self, work: Sequence[Errand], *, model: str, options: TranscribeOptions, format_: Format
    ) -> int:
        """Do all of ``work``; how many of them failed.

        A file that cannot be transcribed fails alone. Raises StoreError: then all may be tried
        again, and what is done is done.
        """
        failed = 0
        for each in work:
            try:
                self._say(json.dumps(self._one(each, model, options, format_)))
            except JobError as error:
                failed += 1
                about = {"media": str(each.media), "error": error.code, "message": error.message}
                self._say(json.dumps(about))
        return failed

    def _one(
        self, work: Errand, model: str, options: TranscribeOptions, format_: Format
    ) -> dict[str, object]:
        target = self._bucket(work.output.bucket)
        about: dict[str, object] = {"media": str(work.media), "output": str(work.output)}
        if target.head(work.output.key) is not None:
            return about | {"skipped": "it is there"}
        began = time.monotonic()
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="object-") as private:
            media = Path(private) / "media"
            source = self._bucket(work.media.bucket)
            if source.download(work.media.key, media, self._max_bytes) is None:
                raise MediaMissingError(f"there is no object {work.media}")
            result = self._engine.transcribe(
                self._decoder.decode(media),
                job_id=work.media.key,
                model=model,
                options=options,
                on_progress=lambda _: None,
            )
        made = render(result.transcript, format_)
        try:
            target.create(work.output.key, made.body, made.content_type)
        except LostRaceError:
            return about | {"skipped": "somebody else was faster"}
        return about | {
            "audio_s": round(result.transcript.duration, 3),
            "wall_s": round(time.monotonic() - began, 3),
        }

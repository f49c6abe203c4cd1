import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clock import ManualClock
from tests.engines import WavDecoder, wav_bytes
from tests.stores import WrappedStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.errors import MediaError, MediaMissingError, MediaTooLargeError
from whisperdrop_worker.engine import Samples
from whisperdrop_worker.fanout_audio import (
    DecodedAudio,
    RangedWav,
    Recording,
    SpanAudio,
    WavLayout,
    wav_layout,
)

KEY = "uploads/x"
SECONDS = 300
TOTAL = SECONDS * 16_000


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return wav_bytes(SECONDS, tmp_path_factory.mktemp("wav"))


class CountingStore(WrappedStore):
    """Counts reads, and the bytes in them."""

    reads = 0
    bytes_read = 0

    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        found = super().read_range(key, start, length)
        self.reads += 1
        self.bytes_read += len(found or b"")
        return found


@pytest.fixture
def store(body: bytes) -> CountingStore:
    inner = MemoryObjectStore(ManualClock())
    inner.put(KEY, body)
    return CountingStore(inner)


def recording(store: CountingStore, path: Path) -> tuple[Recording, WavDecoder]:
    decoder = WavDecoder()
    return Recording(store, decoder, KEY, path / "media", max_bytes=10**8), decoder


def ticks() -> None:
    """Nothing to report."""


def ramp(start: int, end: int) -> Samples:
    return (np.arange(start, end) % 32_000).astype(np.float32) / np.float32(32768)


def read(audio: SpanAudio, start: int, end: int | None) -> Samples:
    return np.concatenate([np.zeros(0, np.float32), *audio.blocks(start, end, ticks)])


STRETCHES = [(0, 100), (90, 5_000), (1_000_000, 1_500_000), (1_300_000, TOTAL - 9), (5, 8)]


def test_a_wav_is_read_where_it_is_needed(store: CountingStore, tmp_path: Path) -> None:
    audio, decoder = recording(store, tmp_path)
    assert audio.expected_s == SECONDS
    assert audio.samples == TOTAL
    for start, end in STRETCHES:
        assert np.array_equal(read(audio, start, end), ramp(start, end))
    assert np.array_equal(read(audio, TOTAL - 10, None), ramp(TOTAL - 10, TOTAL))
    assert decoder.decoded == 0
    assert list(tmp_path.iterdir()) == []


def test_of_a_wav_no_more_is_read_than_is_asked_for(store: CountingStore, tmp_path: Path) -> None:
    audio, _ = recording(store, tmp_path)
    read(audio, 1_000_000, 3_000_000)
    assert store.bytes_read == len(store.read_range(KEY, 0, 64 * 1024) or b"") + 2 * 2_000_000
    blocks = audio.blocks(0, None, ticks)
    assert len(next(blocks)) <= 40 * 16_000, "the model can begin soon"
    assert all(len(block) <= 140 * 16_000 for block in blocks)


def test_whatever_else_it_is_is_decoded_to_the_same_samples(
    body: bytes, store: CountingStore, tmp_path: Path
) -> None:
    store.put(KEY, body[:4] + b"xxxx" + body[8:])
    ranged, _ = recording(store, tmp_path)
    store.put("lies", body[:40] + b"\xff\xff\xff\xff" + body[44:])
    decoder = Blocks(body)
    audio = Recording(store, decoder, "lies", tmp_path / "media", max_bytes=10**8)
    assert audio.samples is None
    assert audio.expected_s == SECONDS
    for start, end in STRETCHES:
        assert np.array_equal(read(audio, start, end), read(ranged, start, end))
    assert decoder.decoded == 2, "once, and once more to go back"
    assert read(audio, TOTAL - 10, None).size == 10
    assert audio.samples == TOTAL
    assert read(audio, TOTAL + 10, None).size == 0
    audio.close()


class Blocks(WavDecoder):
    """Decodes ``body``, whatever the file is, in blocks of some length."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body

    def decode(self, path: Path) -> Any:
        path.write_bytes(self._body)
        return super().decode(path)


def test_a_recording_that_turns_out_shorter_has_no_more_samples(
    body: bytes, tmp_path: Path
) -> None:
    media = tmp_path / "media"
    media.write_bytes(body)
    audio = DecodedAudio(WavDecoder(), media)
    assert read(audio, TOTAL + 16_000, TOTAL + 32_000).size == 0
    assert read(audio, TOTAL - 10, TOTAL + 32_000).size == 10
    assert audio.samples == TOTAL


def test_decoding_can_be_stopped_on_the_way(body: bytes, tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.write_bytes(body)

    class StopError(Exception):
        """Enough."""

    def stop() -> None:
        raise StopError

    with pytest.raises(StopError):
        next(DecodedAudio(WavDecoder(), media).blocks(TOTAL - 10, None, stop))


def test_a_recording_can_be_had_whole_after_a_look_at_it(
    body: bytes, store: CountingStore, tmp_path: Path
) -> None:
    audio, decoder = recording(store, tmp_path)
    assert audio.expected_s == SECONDS
    assert sum(len(block) for block in audio.whole()) == TOTAL
    assert decoder.decoded == 1
    assert (tmp_path / "media").read_bytes() == body


def test_a_wav_that_loses_its_end_meanwhile_is_refused(store: CountingStore) -> None:
    lying = RangedWav(store, KEY, WavLayout(44, TOTAL + 100))
    with pytest.raises(MediaError, match="shorter"):
        read(lying, TOTAL - 10, None)


def test_a_file_that_is_too_large_is_not_read_in_part(store: CountingStore, tmp_path: Path) -> None:
    audio = Recording(store, WavDecoder(), KEY, tmp_path / "media", max_bytes=1_000)
    with pytest.raises(MediaTooLargeError):
        read(audio, 0, 10)


def test_media_that_is_gone_is_missing(store: CountingStore, tmp_path: Path) -> None:
    audio, _ = recording(store, tmp_path)
    store.delete(KEY)
    with pytest.raises(MediaMissingError):
        read(audio, 0, 1)


def riff(*chunks: bytes) -> bytes:
    return b"RIFF\x00\x00\x00\x00WAVE" + b"".join(chunks)


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body


def fmt(kind: int = 1, channels: int = 1, rate: int = 16_000, bits: int = 16) -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", kind, channels, rate, 32_000, 2, bits))


def test_the_layout_of_a_wav_is_found_behind_other_chunks(body: bytes) -> None:
    assert wav_layout(body[:64]) == WavLayout(44, TOTAL)
    odd = chunk(b"LIST", b"abc") + b"\x00"
    assert wav_layout(riff(odd, fmt(), odd, chunk(b"data", b"12345678"))) == WavLayout(68, 4)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"RIFF",
        b"ID3\x04" + bytes(200),
        b"RIFX\x00\x00\x00\x00WAVE" + fmt() + chunk(b"data", b"1234"),
        riff(fmt(kind=3, bits=32), chunk(b"data", b"1234")),
        riff(fmt(channels=2), chunk(b"data", b"1234")),
        riff(fmt(rate=44_100), chunk(b"data", b"1234")),
        riff(fmt(bits=24), chunk(b"data", b"1234")),
        riff(chunk(b"data", b"1234"), fmt()),
        riff(fmt()),
        riff(fmt(), chunk(b"junk", b"", size=2**32 - 1)),
        riff(fmt())[:-4],
    ],
    ids=range(12),
)
def test_anything_else_is_no_such_wav(header: bytes) -> None:
    assert wav_layout(header) is None

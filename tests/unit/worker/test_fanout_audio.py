import struct
from pathlib import Path

import numpy as np
import pytest

from tests.clock import ManualClock
from tests.engines import WavDecoder, wav_bytes
from tests.stores import WrappedStore
from whisperdrop.adapters.memory import MemoryObjectStore
from whisperdrop.errors import MediaError, MediaMissingError
from whisperdrop_worker.engine import Samples
from whisperdrop_worker.fanout_audio import (
    DecodedAudio,
    RangedWav,
    StoredAudio,
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


def stored(
    store: CountingStore, path: Path, samples: int = TOTAL
) -> tuple[StoredAudio, WavDecoder]:
    decoder = WavDecoder()
    audio = StoredAudio(store, decoder, KEY, path / "media", samples=samples, max_bytes=10**8)
    return audio, decoder


def ticks() -> None:
    """Nothing to report."""


def ramp(start: int, length: int) -> list[int]:
    return [n % 32_000 for n in range(start, start + length)]


def numbers(samples: Samples) -> list[int]:
    return [round(float(n) * 32768) for n in samples]


PLACES = [(0, 100), (100, 50), (1_000_000, 300), (1_000_200, 300), (TOTAL - 10, 10), (5, 3)]


def test_a_wav_is_read_where_it_is_needed(store: CountingStore, tmp_path: Path) -> None:
    audio, decoder = stored(store, tmp_path)
    for start, length in PLACES[3:]:
        assert numbers(audio.read(start, length, ticks)) == ramp(start, length)
    assert decoder.decoded == 0
    assert list(tmp_path.iterdir()) == []


def test_a_wav_is_read_ahead_and_not_twice(store: CountingStore, tmp_path: Path) -> None:
    audio, _ = stored(store, tmp_path)
    for start in range(2_000_000, 3_000_000, 100_000):
        audio.read(start, 100_000, ticks)
    assert store.reads == 2, "the header, and four megabytes"
    assert store.bytes_read < 64 * 1024 + 4 * 1024**2 + 1


def test_whatever_else_it_is_is_decoded_to_the_same_samples(
    store: CountingStore, tmp_path: Path
) -> None:
    ranged, _ = stored(store, tmp_path)
    audio, decoder = stored(store, tmp_path, samples=TOTAL + 1)  # so its header seems to lie
    for start, length in PLACES:
        found = audio.read(start, length, ticks)
        assert np.array_equal(found, ranged.read(start, length, ticks))
    assert decoder.decoded == 2, "once, and once more to go back"
    audio.close()


def test_decoding_can_be_stopped_on_the_way(body: bytes, tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.write_bytes(body)

    class StopError(Exception):
        """Enough."""

    def stop() -> None:
        raise StopError

    with pytest.raises(StopError):
        DecodedAudio(WavDecoder(), media).read(TOTAL - 10, 10, stop)


def test_a_recording_that_is_shorter_than_its_plan_is_refused(
    store: CountingStore, body: bytes, tmp_path: Path
) -> None:
    media = tmp_path / "media"
    media.write_bytes(body)
    with pytest.raises(MediaError, match="shorter"):
        DecodedAudio(WavDecoder(), media).read(TOTAL - 10, 11, ticks)
    lying = RangedWav(store, KEY, WavLayout(44, TOTAL + 100))
    with pytest.raises(MediaError, match="shorter"):
        lying.read(TOTAL - 10, 11, ticks)


def test_media_that_is_gone_is_missing(store: CountingStore, tmp_path: Path) -> None:
    audio, _ = stored(store, tmp_path)
    store.delete(KEY)
    with pytest.raises(MediaMissingError):
        audio.read(0, 1, ticks)


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

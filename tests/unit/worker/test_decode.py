"""What the worker makes of the frames of a decoder that a hostile file has taken over."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from whisperdrop.errors import AudioTooLongError, DecoderCrashedError
from whisperdrop_worker.decode import DecodeLimits, Decoder, Decoding
from whisperdrop_worker.decode_protocol import (
    DONE,
    EXPECTED,
    FAILED,
    HEADER,
    MAX_PAYLOAD_BYTES,
    SAMPLES,
    plausible_seconds,
)
from whisperdrop_worker.forkserver import ForkedChild

SECOND = bytes(2 * 16000)
END = (DONE, b"")
Frames = tuple[tuple[bytes, bytes], ...]
Decode = Callable[..., Decoding]


def length(text: str) -> tuple[bytes, bytes]:
    return EXPECTED, f'{{"expected_s": {text}}}'.encode()


class Script:
    """In the place of the fork server: a child that says what it was told to say."""

    def __init__(self, frames: Frames, said: bytes) -> None:
        """``said`` is what it says after ``frames``."""
        self.said = b"".join(HEADER.pack(kind, len(data)) + data for kind, data in frames) + said

    def fork(self, request: bytes) -> ForkedChild:
        output, child_output = socket.socketpair()
        status, child_status = socket.socketpair()
        child_output.sendall(self.said)
        child_output.close()
        child_status.sendall(b"0")  # it has ended: nobody is killed
        child_status.close()
        return ForkedChild(0, output, status)


@pytest.fixture
def decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Decode]:
    media = tmp_path / "media"
    media.write_bytes(b"anything")
    decodings: list[Decoding] = []

    def run(*frames: tuple[bytes, bytes], said: bytes = b"") -> Decoding:
        decoder = Decoder(DecodeLimits(idle_seconds=10.0))
        monkeypatch.setattr(decoder, "_server", Script(frames, said))
        decodings.append(decoder.decode(media))
        return decodings[-1]

    yield run
    for decoding in decodings:
        decoding.close()


def test_the_expected_length_is_there_with_the_first_block(decode: Decode) -> None:
    blocks = decode(length("2.5"), (SAMPLES, SECOND), END)
    assert blocks.expected_s is None
    assert len(next(blocks)) == 16000
    assert blocks.expected_s == 2.5
    assert list(blocks) == []
    assert blocks.expected_s == 2.5


def test_a_decoder_may_say_nothing_of_the_length(decode: Decode) -> None:
    blocks = decode((SAMPLES, SECOND), END)
    assert len(list(blocks)) == 1
    assert blocks.expected_s is None


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "0",
        "-1",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "1" + "0" * 60,
        "10000001",
        "true",
    ],
)
def test_a_length_that_cannot_be_is_ignored(decode: Decode, text: str) -> None:
    blocks = decode(length(text), (SAMPLES, SECOND), END)
    assert len(list(blocks)) == 1
    assert blocks.expected_s is None


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"7", b"{}", b"\xff\xfe", b"[" * 60_000, b"9" * 60_000],
    ids=["empty", "half", "list", "number", "nothing", "no text", "brackets", "digits"],
)
def test_a_length_that_cannot_be_read_is_ignored(decode: Decode, payload: bytes) -> None:
    blocks = decode((EXPECTED, payload), (SAMPLES, SECOND), END)
    assert len(list(blocks)) == 1
    assert blocks.expected_s is None


@pytest.mark.parametrize(
    "frames",
    [
        (length("1"), length("2"), (SAMPLES, SECOND), END),
        ((SAMPLES, SECOND), length("2"), END),
        ((b"?", b""), END),
        ((SAMPLES, b"odd"), END),
        ((FAILED, b"no json"),),
        ((FAILED, b'{"code": "nonsense", "message": "x"}'),),
        ((FAILED, b'{"code": [], "message": "x"}'),),
        ((FAILED, b"[" * 60_000),),
    ],
    ids=["twice", "late", "unknown", "odd", "no json", "no code", "odd code", "brackets"],
)
def test_a_frame_out_of_place_is_a_confused_decoder(decode: Decode, frames: Frames) -> None:
    with pytest.raises(DecoderCrashedError, match="confused"):
        list(decode(*frames))


def test_a_frame_that_announces_too_much_is_not_read(decode: Decode) -> None:
    with pytest.raises(DecoderCrashedError, match="confused"):
        next(decode(said=HEADER.pack(EXPECTED, MAX_PAYLOAD_BYTES + 1)))


def test_a_decoder_that_ends_in_the_middle_of_a_frame_has_crashed(decode: Decode) -> None:
    blocks = decode(length("1"), (SAMPLES, SECOND), said=HEADER.pack(SAMPLES, 100) + b"half")
    assert len(next(blocks)) == 16000
    with pytest.raises(DecoderCrashedError, match="crashed"):
        next(blocks)
    assert next(blocks, None) is None


def test_a_failure_after_the_length_is_reported(decode: Decode) -> None:
    report = json.dumps({"code": "audio_too_long", "message": "too long"}).encode()
    blocks = decode(length("9"), (FAILED, report))
    with pytest.raises(AudioTooLongError, match="too long"):
        next(blocks)
    assert blocks.expected_s == 9


def test_only_numbers_are_plausible() -> None:
    assert [plausible_seconds(value) for value in (3, 0.1, 1e7)] == [3.0, 0.1, 1e7]
    assert [plausible_seconds(value) for value in ("3", True, None, [3], 10**400)] == [None] * 5

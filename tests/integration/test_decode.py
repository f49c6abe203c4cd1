"""Real files, real processes: decoding as the worker does it, and what a hostile file can do."""

import gc
import importlib.util
import os
import select
import signal
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from faster_whisper import decode_audio
from numpy.typing import NDArray

from whisperdrop.errors import (
    AudioTooLongError,
    DecoderCrashedError,
    EmptyMediaError,
    MediaError,
    NoAudioError,
    TryAgainError,
)
from whisperdrop_worker.decode import DecodeLimits, Decoder

HOUR = 3600
DAY = 24 * HOUR
LIMITS = DecodeLimits(
    max_seconds=2 * HOUR, memory_bytes=512 * 2**20, cpu_seconds=60, idle_seconds=30.0
)
# container, encoder, sample rate
ENCODINGS = [
    ("wav", "pcm_s16le", 44100),
    ("wav", "pcm_f32le", 16000),
    ("aiff", "pcm_s16be", 22050),
    ("flac", "flac", 48000),
    ("mp3", "libmp3lame", 44100),
    ("ogg", "flac", 44100),
    ("opus", "libopus", 48000),
    ("m4a", "aac", 44100),
    ("aac", "aac", 48000),
    ("mp4", "aac", 48000),
    ("mov", "aac", 48000),
    ("mpeg", "mp2", 44100),
    ("mkv", "flac", 48000),
    ("webm", "libopus", 48000),
]
FORMAT_NAMES = {"m4a": "ipod", "aac": "adts", "mkv": "matroska"}


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(LIMITS) as decoder:
        decoder.warm()
        yield decoder


@pytest.fixture(scope="module")
def speech() -> Path:
    spec = importlib.util.find_spec("pytest_audioeval")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "samples" / "audio" / "en"
    return min(folder.glob("*.wav"))


def samples(decoder: Decoder, media: Path) -> NDArray[np.float32]:
    return np.concatenate(list(decoder.decode(media)))


def encode(speech: Path, target: Path, codec: str, rate: int, layout: str = "mono") -> Path:
    format_name = FORMAT_NAMES.get(target.suffix[1:])
    with av.open(str(speech)) as source, av.open(str(target), "w", format=format_name) as out:
        stream = out.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = layout
        for frame in source.decode(audio=0):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target


def add_video(target: Path, frames: int = 25) -> None:
    with av.open(str(target), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(frames):
            out.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(stream.encode(None))


def crc(data: bytes, polynomial: int, width: int) -> int:
    value, top, mask = 0, 1 << (width - 1), (1 << width) - 1
    for byte in data:
        value ^= byte << (width - 8)
        for _ in range(8):
            value = ((value << 1) ^ polynomial if value & top else value << 1) & mask
    return value


def flac_silence(target: Path, seconds: int, declared_seconds: int) -> Path:
    """Silence in FLAC frames of 65,535 constant samples: a day of it is 300 kB."""
    rate, block = 16000, 65535
    info = (rate << 44 | 15 << 36 | declared_seconds * rate).to_bytes(8, "big")
    out = bytearray(b"fLaC\x80\x00\x00\x22" + block.to_bytes(2, "big") * 2 + bytes(6) + info)
    out += bytes(16)
    for number in range(-(-seconds * rate // block)):
        count = min(block, seconds * rate - number * block)
        # The frame number as FLAC writes it: UTF-8, which Python's codec does below the surrogates.
        head = b"\xff\xf8\x75\x08" + chr(number).encode() + (count - 1).to_bytes(2, "big")
        head += bytes([crc(head, 0x07, 8)])
        frame = head + b"\x00\x00\x00"
        out += frame + crc(frame, 0x8005, 16).to_bytes(2, "big")
    target.write_bytes(out)
    return target


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def helpers(parent: int) -> list[int]:
    return [
        p for p in children(parent) if b"decode_child" in Path(f"/proc/{p}/cmdline").read_bytes()
    ]


def peak_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def ended(pidfd: int) -> bool:
    ready, _, _ = select.select([pidfd], [], [], 10.0)
    os.close(pidfd)
    return bool(ready)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Decoder, int]]:
    """A decoder of this test alone, with the pid of its fork server."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-leak-this")
    monkeypatch.setenv("API_KEY", "nor-this")
    before = set(helpers(os.getpid()))
    with Decoder(LIMITS) as decoder:
        decoder.warm()
        (server,) = set(helpers(os.getpid())) - before
        yield decoder, server


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of silence whose header claims to be a minute."""
    return flac_silence(tmp_path_factory.mktemp("day") / "media", DAY, 60)


@pytest.mark.parametrize(("extension", "codec", "rate"), ENCODINGS)
def test_samples_are_those_of_faster_whisper(
    decoder: Decoder, speech: Path, tmp_path: Path, extension: str, codec: str, rate: int
) -> None:
    media = encode(speech, tmp_path / f"media.{extension}", codec, rate)
    expected = decode_audio(str(media))
    assert len(expected) > 16000
    np.testing.assert_array_equal(samples(decoder, media), expected)


def test_stereo_is_mixed_as_faster_whisper_does(
    decoder: Decoder, speech: Path, tmp_path: Path
) -> None:
    media = encode(speech, tmp_path / "media.flac", "flac", 44100, "stereo")
    np.testing.assert_array_equal(samples(decoder, media), decode_audio(str(media)))


def test_blocks_are_short_and_in_range(decoder: Decoder, tmp_path: Path) -> None:
    media = flac_silence(tmp_path / "media", 200, 200)
    blocks = list(decoder.decode(media))
    assert sum(map(len, blocks)) == 200 * 16000
    assert max(map(len, blocks)) <= 30 * 16000
    assert all(block.dtype == np.float32 for block in blocks)


def test_the_extension_does_not_matter(decoder: Decoder, speech: Path, tmp_path: Path) -> None:
    media = encode(speech, tmp_path / "media.flac", "flac", 16000)
    expected = samples(decoder, media)
    for name in ("media", "media.mp4", "имя файла.mp3"):
        np.testing.assert_array_equal(samples(decoder, media.rename(tmp_path / name)), expected)
        media = tmp_path / name


def test_a_stream_that_changes_its_rate_goes_on(
    decoder: Decoder, speech: Path, tmp_path: Path
) -> None:
    first = encode(speech, tmp_path / "a.ogg", "flac", 44100)
    second = encode(speech, tmp_path / "b.ogg", "flac", 22050)
    chained = tmp_path / "media"
    chained.write_bytes(first.read_bytes() + second.read_bytes())
    alone = len(samples(decoder, first))
    assert len(samples(decoder, chained)) > 1.9 * alone


def test_a_truncated_file_yields_what_decodes(
    decoder: Decoder, speech: Path, tmp_path: Path
) -> None:
    media = encode(speech, tmp_path / "media.flac", "flac", 16000)
    whole = samples(decoder, media)
    media.write_bytes(media.read_bytes()[: media.stat().st_size // 2])
    part = samples(decoder, media)
    assert 0.3 * len(whole) < len(part) < 0.7 * len(whole)
    np.testing.assert_array_equal(part[:16000], whole[:16000])


def test_a_damaged_middle_is_skipped(decoder: Decoder, speech: Path, tmp_path: Path) -> None:
    media = encode(speech, tmp_path / "media.mp3", "libmp3lame", 44100)
    whole = len(samples(decoder, media))
    data = bytearray(media.read_bytes())
    third = len(data) // 3
    data[third : third + 2000] = os.urandom(2000)
    media.write_bytes(data)
    assert len(samples(decoder, media)) > 0.8 * whole


def test_an_mp4_without_its_index_is_undecodable(
    decoder: Decoder, speech: Path, tmp_path: Path
) -> None:
    media = encode(speech, tmp_path / "media.m4a", "aac", 44100)
    media.write_bytes(media.read_bytes()[:5000])
    with pytest.raises(MediaError, match="not audio that can be decoded: Invalid data") as caught:
        samples(decoder, media)
    assert type(caught.value) is MediaError


@pytest.mark.parametrize("content", [b"just a text\n" * 300, os.urandom(20_000)])
def test_what_is_no_media_is_undecodable_and_no_path_is_told(
    decoder: Decoder, tmp_path: Path, content: bytes
) -> None:
    media = tmp_path / "media"
    media.write_bytes(content)
    with pytest.raises(MediaError, match="not audio that can be decoded") as caught:
        samples(decoder, media)
    assert str(tmp_path) not in caught.value.message
    assert "file:" not in caught.value.message


def test_no_bytes_are_an_empty_file(decoder: Decoder, tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.touch()
    with pytest.raises(EmptyMediaError, match="0 bytes"):
        samples(decoder, media)


def test_a_header_without_samples_is_empty(decoder: Decoder, speech: Path, tmp_path: Path) -> None:
    media = encode(speech, tmp_path / "media.wav", "pcm_s16le", 16000)
    data = media.read_bytes()
    media.write_bytes(data[: data.index(b"data")] + b"data\0\0\0\0")
    with pytest.raises(EmptyMediaError, match="no samples"):
        samples(decoder, media)


def test_a_video_without_sound_has_no_audio(decoder: Decoder, tmp_path: Path) -> None:
    add_video(tmp_path / "media.mp4")
    with pytest.raises(NoAudioError, match="no audio stream"):
        samples(decoder, tmp_path / "media.mp4")


@pytest.mark.parametrize("name", ["media", "x.mp3", "x.wav", "x.ffconcat"])
def test_an_ffconcat_text_opens_no_other_file(
    decoder: Decoder, speech: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "secret.wav").write_bytes(speech.read_bytes())
    media = tmp_path / name
    media.write_text("ffconcat version 1.0\nfile secret.wav\n")
    with av.open(str(media)) as container:  # what an unguarded open does
        assert container.format.name == "concat"
    with pytest.raises(MediaError, match="not one of those accepted"):
        samples(decoder, media)


@pytest.mark.parametrize("name", ["media", "x.m3u8"])
def test_an_hls_playlist_opens_no_other_file(
    decoder: Decoder, speech: Path, tmp_path: Path, name: str
) -> None:
    encode(speech, tmp_path / "secret.aac", "aac", 44100)
    media = tmp_path / name
    media.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nsecret.aac\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaError):
        samples(decoder, media)


@pytest.mark.parametrize("name", ["media", "x.mp3", "x.m3u8"])
def test_an_hls_playlist_calls_nobody(decoder: Decoder, tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.ts"
        media = tmp_path / name
        media.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n")
        with pytest.raises(MediaError):
            samples(decoder, media)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("declared", [DAY, 0])
def test_a_day_of_silence_is_refused_before_a_sample_is_decoded(
    decoder: Decoder, tmp_path: Path, declared: int
) -> None:
    media = flac_silence(tmp_path / "media", DAY, declared)
    blocks = decoder.decode(media)
    with pytest.raises(AudioTooLongError, match="longer than the limit of 2 hours"):
        next(blocks)


def test_a_header_that_declares_too_much_is_not_believed(
    decoder: Decoder, speech: Path, tmp_path: Path
) -> None:
    media = flac_silence(tmp_path / "media", 60, DAY)
    assert len(samples(decoder, media)) == 60 * 16000
    wav = encode(speech, tmp_path / "media.wav", "pcm_s16le", 16000)
    whole = samples(decoder, wav)
    data = bytearray(wav.read_bytes())
    size = data.index(b"data") + 4
    data[4:8] = data[size : size + 4] = b"\xff" * 4  # as programs that write to a pipe do
    wav.write_bytes(data)
    np.testing.assert_array_equal(samples(decoder, wav), whole)


@pytest.mark.parametrize(
    ("extension", "codec", "rate"),
    [("wav", "pcm_s16le", 44100), ("mp3", "libmp3lame", 44100), ("opus", "libopus", 48000)],
)
def test_the_expected_length_is_known_with_the_first_block(
    decoder: Decoder, speech: Path, tmp_path: Path, extension: str, codec: str, rate: int
) -> None:
    blocks = decoder.decode(encode(speech, tmp_path / f"media.{extension}", codec, rate))
    assert blocks.expected_s is None
    first = next(blocks)
    expected = blocks.expected_s
    whole = (len(first) + sum(map(len, blocks))) / 16000
    assert expected == pytest.approx(whole, rel=0.01)
    assert blocks.expected_s == expected


@pytest.mark.parametrize("declared", [0, DAY])
def test_where_the_header_tells_no_length_or_too_much_the_packets_tell(
    decoder: Decoder, tmp_path: Path, declared: int
) -> None:
    blocks = decoder.decode(flac_silence(tmp_path / "media", 120, declared))
    assert sum(map(len, blocks)) == 120 * 16000
    assert blocks.expected_s == pytest.approx(120, rel=0.01)


@pytest.mark.parametrize("declared", [1, HOUR])
def test_a_lying_header_does_no_harm(decoder: Decoder, tmp_path: Path, declared: int) -> None:
    blocks = decoder.decode(flac_silence(tmp_path / "media", 120, declared))
    assert sum(map(len, blocks)) == 120 * 16000
    assert blocks.expected_s == declared


def test_a_file_without_samples_expects_nothing(decoder: Decoder, tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.write_bytes(b"garbage" * 100)
    blocks = decoder.decode(media)
    with pytest.raises(MediaError):
        next(blocks)
    assert blocks.expected_s is None


def test_a_lying_header_costs_little_memory_until_the_count_tells(
    own: tuple[Decoder, int], day: Path
) -> None:
    decoder, server = own
    blocks = decoder.decode(day)
    next(blocks)
    (child,) = children(server)
    tracemalloc.start()
    seconds = peak = 0.0
    try:
        with pytest.raises(AudioTooLongError, match="2 hours"):  # noqa: PT012
            for block in blocks:
                seconds += len(block) / 16000
                if round(seconds) % 600 < 30:
                    peak = max(peak, peak_megabytes(child))
        _, parent_peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 2 * HOUR - 120 < seconds <= 2 * HOUR
    assert 0 < peak < 120
    assert parent_peak < 16 * 2**20


def test_closing_the_generator_ends_the_decoder(own: tuple[Decoder, int], day: Path) -> None:
    decoder, server = own
    blocks = decoder.decode(day)
    next(blocks)
    assert len(children(server)) == 1
    blocks.close()
    assert children(server) == []
    assert next(blocks, None) is None


def test_forgetting_the_blocks_ends_the_decoder(own: tuple[Decoder, int], day: Path) -> None:
    decoder, server = own
    blocks = decoder.decode(day)
    next(blocks)
    assert len(children(server)) == 1
    gc.disable()  # the reference count alone has to do it
    try:
        del blocks
        assert children(server) == []
    finally:
        gc.enable()


def test_nothing_starts_before_the_first_block_is_asked_for(
    own: tuple[Decoder, int], tmp_path: Path
) -> None:
    decoder, server = own
    blocks = decoder.decode(tmp_path / "not-there-yet")
    assert children(server) == []
    blocks.close()
    assert next(blocks, None) is None


def test_a_killed_decoder_fails_its_own_file_only(own: tuple[Decoder, int], day: Path) -> None:
    decoder, server = own
    other = decoder.decode(day)
    next(other)
    (bystander,) = children(server)
    blocks = decoder.decode(day)
    next(blocks)
    (victim,) = set(children(server)) - {bystander}
    os.kill(victim, signal.SIGSEGV)
    with pytest.raises(DecoderCrashedError, match="SIGSEGV"):
        list(blocks)
    next(other)
    assert children(server) == [bystander]
    next(decoder.decode(day))


def test_the_death_of_the_helper_behind_all_decoders_blames_no_file(
    own: tuple[Decoder, int], day: Path
) -> None:
    decoder, server = own
    blocks = decoder.decode(day)
    next(blocks)
    (child,) = children(server)
    child_end = os.pidfd_open(child)
    os.kill(server, signal.SIGKILL)
    with pytest.raises(TryAgainError):
        list(blocks)
    assert ended(child_end)
    next(decoder.decode(day))


def test_a_decoder_that_stands_still_is_ended(day: Path) -> None:
    limits = DecodeLimits(
        max_seconds=DAY, memory_bytes=LIMITS.memory_bytes, cpu_seconds=60, idle_seconds=0.5
    )
    before = set(helpers(os.getpid()))
    with Decoder(limits) as decoder:
        decoder.warm()
        (server,) = set(helpers(os.getpid())) - before
        blocks = decoder.decode(day)
        next(blocks)
        (child,) = children(server)
        os.kill(child, signal.SIGSTOP)
        with pytest.raises(DecoderCrashedError, match=r"no progress for 0\.5 seconds"):
            list(blocks)
        assert children(server) == []


def test_too_much_processor_time_is_named(day: Path) -> None:
    limits = DecodeLimits(
        max_seconds=2 * DAY, memory_bytes=LIMITS.memory_bytes, cpu_seconds=1, idle_seconds=30.0
    )
    with Decoder(limits) as decoder, pytest.raises(DecoderCrashedError, match="1 seconds of CPU"):
        for _ in decoder.decode(day):
            pass


def test_too_much_memory_is_named(tmp_path: Path) -> None:
    media = flac_silence(tmp_path / "media", 60, 60)
    data = media.read_bytes()
    tags = bytes(15 * 2**20)  # no tags, in a block of 15 MB that FFmpeg reads in one piece
    header = data[:4] + b"\x00" + data[5:42]
    media.write_bytes(header + b"\x84" + len(tags).to_bytes(3, "big") + tags + data[42:])
    roomy = DecodeLimits(
        max_seconds=HOUR, memory_bytes=256 * 2**20, cpu_seconds=10, idle_seconds=30.0
    )
    with Decoder(roomy) as decoder:
        assert len(samples(decoder, media)) == 60 * 16000
    with (
        Decoder(replace(roomy, memory_bytes=128 * 2**20)) as decoder,
        pytest.raises(DecoderCrashedError, match="128 MB of memory"),
    ):
        samples(decoder, media)


def test_several_files_decode_at_once(decoder: Decoder, speech: Path, tmp_path: Path) -> None:
    media = [
        encode(speech, tmp_path / f"{number}.flac", "flac", 16000 + 1000 * number)
        for number in range(6)
    ]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda path: samples(decoder, path), media))
    for path, found in zip(media, together, strict=True):
        np.testing.assert_array_equal(found, decode_audio(str(path)))


def test_no_descriptor_and_no_process_is_left_behind(
    own: tuple[Decoder, int], speech: Path, tmp_path: Path
) -> None:
    decoder, server = own
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"garbage" * 100)
    samples(decoder, speech)

    def descriptors(pid: int | str) -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    before = descriptors("self"), descriptors(server)
    for _ in range(5):
        samples(decoder, speech)
        next(decoder.decode(speech))
        with pytest.raises(MediaError):
            samples(decoder, garbage)
    assert children(server) == []
    assert (descriptors("self"), descriptors(server)) == before


def test_no_credential_reaches_the_decoder(own: tuple[Decoder, int], day: Path) -> None:
    decoder, server = own
    blocks = decoder.decode(day)
    next(blocks)
    (child,) = children(server)
    environment = Path(f"/proc/{child}/environ").read_bytes()
    assert b"PYTHONPATH" in environment
    assert b"leak" not in environment
    assert b"nor-this" not in environment


def test_signals_for_the_workers_group_do_not_reach_the_decoder(own: tuple[Decoder, int]) -> None:
    _, server = own
    assert os.getsid(server) != os.getsid(0)


def test_nothing_outlives_a_worker_that_is_killed(day: Path) -> None:
    program = (
        "import sys, pathlib; from whisperdrop_worker.decode import *\n"
        "blocks = Decoder(DecodeLimits(max_seconds=1e9)).decode(pathlib.Path(sys.argv[1]))\n"
        "next(blocks); print('decoding', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(day)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"decoding\n"
        (server,) = helpers(worker.pid)
        (child,) = children(server)
        ends = [os.pidfd_open(pid) for pid in (server, child)]
        worker.kill()
    assert all(ended(end) for end in ends)

"""Decode one file of unknown origin to 16 kHz mono samples. Runs in a process of its own.

``python -m whisperdrop_worker.decode_child`` is the fork server; ``decode_job`` is what each fork
does. Nothing of the worker is imported here, and no credential is in reach.

``av.open`` on a stranger's file reads whatever the file tells it to: an ffconcat text opens other
files of its directory, an HLS playlist opens URLs. So only named demuxers may run, only the
``file:`` protocol may be used, and only named decoders see the data.
"""

import errno
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import av
import av.audio.fifo
import av.audio.resampler
import av.error
import av.logging

from whisperdrop_worker.decode_protocol import (
    DONE,
    EXPECTED,
    FAILED,
    HEADER,
    MAX_PAYLOAD_BYTES,
    SAMPLE_RATE,
    SAMPLES,
    DecodeJob,
    plausible_seconds,
)
from whisperdrop_worker.forkserver import serve
from whisperdrop_worker.sandbox import confine

# The demuxers behind the extensions in whisperdrop.domain.media. ".mpeg" may be a program or a
# transport stream; ".m4a", ".mp4" and ".mov" are "mov"; ".webm" is "matroska".
_DEMUXERS = ("aac", "aiff", "flac", "matroska", "mov", "mp3", "mpeg", "mpegts", "ogg", "w64", "wav")
# What recorders, telephones, browsers and video tools put into those containers.
_DECODER_NAMES = """
    aac aac_latm ac3 adpcm_ima_qt adpcm_ima_wav adpcm_ms adpcm_swf adpcm_yamaha alac amrnb amrwb
    dca eac3 flac g722 g726 g726le gsm gsm_ms libopencore_amrnb libopencore_amrwb libopus libspeex
    mp1 mp1float mp2 mp2float mp3 mp3float opus qdm2 speex truehd truespeech tta vorbis wavpack
    wmav1 wmav2 pcm_alaw pcm_bluray pcm_dvd pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_mulaw
    pcm_s16be pcm_s16be_planar pcm_s16le pcm_s16le_planar pcm_s24be pcm_s24le pcm_s24le_planar
    pcm_s32be pcm_s32le pcm_s32le_planar pcm_s64le pcm_s8 pcm_u16le pcm_u24le pcm_u32le pcm_u8
"""
_DECODERS = frozenset(_DECODER_NAMES.split())
_OPEN_OPTIONS = {
    "format_whitelist": ",".join(_DEMUXERS),
    "protocol_whitelist": "file",
    # FFmpeg opens the streams while probing; without this a video decoder would see the data too.
    "codec_whitelist": ",".join(sorted(_DECODERS)),
}
_GROUPED_SAMPLES = 500_000  # as faster-whisper groups them
_UNDECODABLE = "the file is not audio that can be decoded"


class _RefusedError(Exception):
    """A failure with the stable code of its class in ``whisperdrop.errors``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def decode_job(request: bytes, output: socket.socket) -> None:
    """Decode the file named by ``request`` (a ``DecodeJob``) and send frames to ``output``."""
    job = DecodeJob.from_bytes(request)
    try:
        confine(Path(job.directory), memory_bytes=job.memory_bytes, cpu_seconds=job.cpu_seconds)
        for kind, payload in _decode(job):
            _send(output, kind, payload)
        _send(output, DONE, b"")
    except _RefusedError as refused:
        _fail(output, refused.code, str(refused))
    except MemoryError:  # PyAV's own for ENOMEM is one of these
        megabytes = job.memory_bytes // 2**20
        message = f"decoding the file needs more than the {megabytes} MB of memory it may have"
        _fail(output, "decoder_crashed", message)
    except av.error.FFmpegError as error:
        _fail(output, "undecodable_media", f"{_UNDECODABLE}: {_reason(error)}")
    except ConnectionError:  # the parent has stopped listening
        pass
    except Exception as error:  # noqa: BLE001 - the message is for a user, without a path
        _fail(output, "undecodable_media", f"{_UNDECODABLE}: {type(error).__name__}")


def _decode(job: DecodeJob) -> Iterator[tuple[bytes, bytes]]:
    """The expected length, then blocks of samples, as kinds and payloads of frames.

    Of the first audio stream, and never more than ``job.max_seconds`` in all.
    """
    faults: list[str] = []
    left = round(job.max_seconds * SAMPLE_RATE)
    allowed = left
    with _open(job.name) as container:
        stream = _first_audio(container)
        expected_s = _expected_seconds(container, stream, job)
        yield EXPECTED, json.dumps({"expected_s": expected_s}).encode()
        for frame in _resampled(_frames(container, stream, faults)):
            left -= frame.samples
            if left < 0:
                raise _too_long(job.max_seconds)
            samples = memoryview(frame.planes[0])[: 2 * frame.samples]
            for start in range(0, len(samples), MAX_PAYLOAD_BYTES):
                yield SAMPLES, bytes(samples[start : start + MAX_PAYLOAD_BYTES])
    if left == allowed and faults:
        raise _RefusedError("undecodable_media", f"{_UNDECODABLE}: {faults[0]}")
    if left == allowed:
        raise _RefusedError("empty_media", "the file has an audio stream but no samples in it")


def _open(name: str) -> av.container.InputContainer:
    try:
        return av.open(
            f"file:{name}", mode="r", options=dict(_OPEN_OPTIONS), metadata_errors="ignore"
        )
    except av.error.FFmpegError as error:
        if error.errno != errno.EINVAL:
            raise
        # FFmpeg's answer to a format, or a protocol, that is not on the list.
        raise _RefusedError(
            "undecodable_media",
            f"{_UNDECODABLE}: its format is not one of those accepted ({', '.join(_DEMUXERS)})",
        ) from error


def _first_audio(container: av.container.InputContainer) -> av.AudioStream:
    if not container.streams.audio:
        raise _RefusedError("no_audio_stream", "the file has no audio stream")
    stream = container.streams.audio[0]
    # None where this FFmpeg has no decoder at all, whatever PyAV's annotation says.
    codec: av.AudioCodecContext | None = stream.codec_context
    if codec is None or codec.name not in _DECODERS:
        name = "unknown" if codec is None else codec.name
        raise _RefusedError("undecodable_media", f"{_UNDECODABLE}: its audio codec is {name}")
    codec.thread_count = 1  # threads cost address space and win nothing for audio
    return stream


def _expected_seconds(
    container: av.container.InputContainer, stream: av.AudioStream, job: DecodeJob
) -> float | None:
    """Length by the header or the packets, in seconds; None where neither tells.

    Refuses a file that is too long before the first sample is decoded. Headers are often wrong: a
    WAV from a pipe declares 4 GB, an MP3 without an index has its length guessed, an interrupted
    recording has none. So where the header tells no length, or too much, the packets are counted,
    which costs a fraction of decoding them. What those say may be a lie as well: the samples are
    counted in any case.
    """
    seconds = _declared_seconds(container, stream)
    if seconds is not None and seconds <= job.max_seconds:
        return seconds
    with _open(job.name) as again:
        seconds = _packet_seconds(again, job.max_seconds)
    if seconds > job.max_seconds:
        raise _too_long(job.max_seconds)
    return plausible_seconds(seconds)


def _declared_seconds(
    container: av.container.InputContainer, stream: av.AudioStream
) -> float | None:
    declared: float | None = None
    if stream.duration is not None and stream.time_base is not None:
        declared = plausible_seconds(float(stream.duration * stream.time_base))
    if declared is None and container.duration is not None:
        declared = plausible_seconds(container.duration / av.time_base)
    return declared


def _packet_seconds(container: av.container.InputContainer, enough: float) -> float:
    stream = container.streams.audio[0]
    unit = float(stream.time_base or 0)
    seconds = 0.0
    try:
        for packet in container.demux(stream):
            seconds += (packet.duration or 0) * unit
            if seconds > enough:
                break
    except av.error.InvalidDataError:
        pass  # what can be read of a damaged file is decoded, and counted, below
    return seconds


def _frames(
    container: av.container.InputContainer, stream: av.AudioStream, faults: list[str]
) -> Iterator[av.AudioFrame]:
    """Frames of ``stream``; packets that cannot be decoded are skipped, and noted."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.InvalidDataError as error:  # the container ends in garbage
            faults.append(_reason(error))
            return
        try:
            frames = packet.decode()
        except av.error.InvalidDataError as error:
            if not faults:
                faults.append(_reason(error))
            continue
        for frame in frames:
            frame.pts = None  # a gap in the clock is no reason to invent samples
            yield frame


def _resampled(frames: Iterator[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    """Frames as 16 kHz mono s16, bit for bit what ``faster_whisper.decode_audio`` makes of them.

    A stream may change its rate or layout half-way (chained Ogg, broadcasts): what came before is
    flushed and the rest goes through a fresh resampler.
    """
    kind: tuple[str, str, int] | None = None
    fifo = av.audio.fifo.AudioFifo()
    resampler = _new_resampler()
    for frame in frames:
        if kind != (this := (frame.format.name, frame.layout.name, frame.sample_rate)):
            if kind is not None:
                yield from _flushed(fifo, resampler)
                fifo, resampler = av.audio.fifo.AudioFifo(), _new_resampler()
            kind = this
        fifo.write(frame)
        if fifo.samples >= _GROUPED_SAMPLES:
            yield from resampler.resample(fifo.read())
    yield from _flushed(fifo, resampler)


def _flushed(
    fifo: av.audio.fifo.AudioFifo, resampler: av.audio.resampler.AudioResampler
) -> Iterator[av.AudioFrame]:
    if fifo.samples:
        yield from resampler.resample(fifo.read())
        yield from resampler.resample(None)


def _new_resampler() -> av.audio.resampler.AudioResampler:
    return av.audio.resampler.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)


def _too_long(max_seconds: float) -> _RefusedError:
    hours = f"{max_seconds / 3600:.3g}"
    unit = "hour" if hours == "1" else "hours"
    return _RefusedError("audio_too_long", f"the audio is longer than the limit of {hours} {unit}")


def _reason(error: av.error.FFmpegError) -> str:
    return error.strerror or type(error).__name__  # never str(error): it names the file


def _send(output: socket.socket, kind: bytes, payload: bytes) -> None:
    output.sendall(HEADER.pack(kind, len(payload)))
    output.sendall(payload)


def _fail(output: socket.socket, code: str, message: str) -> None:
    _send(output, FAILED, json.dumps({"code": code, "message": message}).encode())


if __name__ == "__main__":
    av.logging.set_level(None)
    serve(decode_job)

"""Windows, answers and conversations without a model."""

from collections.abc import Generator
from typing import Any, TypeVar

import ctranslate2
import numpy as np

from whisperdrop_worker.engine.guard import Guard
from whisperdrop_worker.engine.interface import Samples
from whisperdrop_worker.engine.recognizer import Answer, Ask, Piece
from whisperdrop_worker.engine.speech import FRAME_SAMPLES, Speech
from whisperdrop_worker.engine.windows import FRAMES_A_SECOND, Window

NO_GUARD = Guard(
    max_compression=None,
    min_avg_logprob=None,
    max_tokens_per_s=None,
    min_words_per_s=None,
    max_no_speech=None,
    ladder=(),
)
"""Takes every answer."""

_Returned = TypeVar("_Returned")


def a_window(
    seconds: float = 10.0, *, speech_s: float | None = None, index: int = 0, start_s: float = 0.0
) -> Window:
    """Silence of ``seconds``; the detector is sure of speech in the first ``speech_s`` of it, in
    all of it by default."""
    frames = round(seconds * FRAMES_A_SECOND)
    speech = np.zeros(frames, np.uint8)
    speech[: frames if speech_s is None else round(speech_s * FRAMES_A_SECOND)] = 255
    audio = np.zeros(frames * FRAME_SAMPLES, np.float32)
    return Window(index, round(start_s * 16_000), audio, speech)


def a_piece(
    text: str = " so much was said", start: float = 0.0, end: float = 10.0, **fields: Any
) -> Piece:
    """A piece with one token a word."""
    return Piece(start, end, tuple(range(1, 1 + len(text.split()))), text, **fields)


def an_answer(*pieces: Piece, **fields: Any) -> Answer:
    """What the model made of a window: English, sure, in ``pieces``."""
    text = "".join(piece.text for piece in pieces).strip()
    defaults: dict[str, Any] = {
        "language": "en",
        "languages": (("en", 1.0),),
        "tokens": tuple(token for piece in pieces for token in piece.tokens),
        "text": text,
        "avg_logprob": -0.2,
        "no_speech_prob": 0.01,
        "compression_ratio": 1.2,
        "pieces": pieces,
    }
    return Answer(**defaults | fields)


def an_encoding() -> ctranslate2.StorageView:
    """What an encoder might have put out."""
    return ctranslate2.StorageView.from_array(np.zeros((1, 1, 1), np.float32))


def converse(
    conversation: Generator[Ask, Answer, _Returned], *answers: Answer
) -> tuple[list[Ask], _Returned]:
    """Everything that was asked, one ask an answer, and what came of it."""
    asks = [next(conversation)]
    for number, answer in enumerate(answers, 1):
        try:
            asks.append(conversation.send(answer))
        except StopIteration as stop:
            assert number == len(answers), f"it wanted only {number} answers"
            return asks, stop.value
    raise AssertionError(f"it asked for more than {len(answers)} answers: {asks[-1]}")


def samples_of(track: Speech) -> Samples:
    """A recording whose samples tell the probability of speech: see ``ReadingDetector``."""
    return np.repeat(track.astype(np.float32) / 256, FRAME_SAMPLES)


class ReadingDetector:
    """Stands in for Silero: reads the probability of a frame off its first sample."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)

    def feed(self, samples: Samples) -> Speech:
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) - len(samples) % FRAME_SAMPLES
        self._rest = samples[whole:]
        return self._read(samples[:whole])

    def finish(self) -> Speech:
        last, self._rest = self._rest[:1], self._rest[:0]
        return self._read(last)

    def _read(self, samples: Samples) -> Speech:
        return np.rint(samples[::FRAME_SAMPLES] * 256).astype(np.uint8)

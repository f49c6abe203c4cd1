"""Where somebody speaks: Silero's voice detector, fed piece by piece.

https://github.com/snakers4/silero-vad, as faster-whisper ships it (version 6).
"""

import numpy as np
from faster_whisper.vad import get_vad_model
from numpy.typing import NDArray

from whisperdrop_worker.engine.interface import Samples

FRAME_SAMPLES = 512
"""Samples that one probability stands for: 32 ms, the only length that the model knows."""

_CONTEXT_SAMPLES = 64  # of the frame before, which the model wants to see

Speech = NDArray[np.uint8]
"""Probability of speech for each frame, 0 to 255. A byte is finer than the model is right, and
makes what is derived from it the same wherever it travels."""


class SpeechDetector:
    """Probabilities of a recording that arrives in blocks: those of one call with all of it."""

    def __init__(self) -> None:
        self._session = get_vad_model().session
        self._h = np.zeros((1, 1, 128), np.float32)
        self._c = np.zeros((1, 1, 128), np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._rest = np.zeros(0, np.float32)

    def feed(self, samples: Samples) -> Speech:
        """Probabilities of the frames that ``samples`` completes, shape (frames,)."""
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) - len(samples) % FRAME_SAMPLES
        self._rest = samples[whole:].copy()
        return self._run(samples[:whole])

    def finish(self) -> Speech:
        """Probability of the last frame, filled up with silence; empty when there is none."""
        if not len(self._rest):
            return np.zeros(0, np.uint8)
        last = np.pad(self._rest, (0, FRAME_SAMPLES - len(self._rest)))
        self._rest = self._rest[:0]
        return self._run(last)

    def _run(self, samples: Samples) -> Speech:
        if not len(samples):
            return np.zeros(0, np.uint8)
        frames = samples.reshape(-1, FRAME_SAMPLES)
        context = np.empty((len(frames), _CONTEXT_SAMPLES), np.float32)
        context[0] = self._context
        context[1:] = frames[:-1, -_CONTEXT_SAMPLES:]
        self._context = frames[-1, -_CONTEXT_SAMPLES:].copy()
        output, self._h, self._c = self._session.run(
            None,
            {"input": np.concatenate([context, frames], axis=1), "h": self._h, "c": self._c},
        )
        probabilities: Speech = np.rint(output.reshape(-1) * 255).astype(np.uint8)
        return probabilities

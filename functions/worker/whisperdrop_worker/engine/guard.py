"""What is wrong with a decoded window. Own-length windows are never used without it.

The first three signs are Whisper's own (compression, log-probability, silence); words per second of
speech and tokens per second of audio are possible because the voice detector says how much speech
there is.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from whisperdrop_worker.engine.recognizer import Answer
from whisperdrop_worker.engine.windows import Window

_HOPELESS_COMPRESSION = 2.4
_LEAST_SPEECH_SHARE = 0.25  # of a window whose text is believed against the model's own doubt

_WORD = re.compile(r"\w+")
# Scripts without spaces: one character is about half a word of English.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)


class Fault(StrEnum):
    """What can be wrong."""

    LOOP = "loop"
    """The same again and again."""
    LOW_CONFIDENCE = "low_confidence"
    MISSING_WORDS = "missing_words"
    """Fewer words than the speech must have."""
    SILENCE = "silence"
    """Text where nobody speaks."""


@dataclass(frozen=True)
class Guard:
    """The limits; None switches one off. Seconds of audio.

    ``max_compression`` of the text by zlib; ``min_avg_logprob`` natural logarithm;
    ``max_tokens_per_s`` of the window, above which a window is a loop that was cut short;
    ``min_words_per_s`` of its speech; ``max_no_speech`` is the model's own probability of silence,
    believed where confidence is low too or the voice detector agrees.
    """

    max_compression: float | None = 2.0
    min_avg_logprob: float | None = -1.0
    max_tokens_per_s: float | None = 9.0
    min_words_per_s: float | None = 1.3
    max_no_speech: float | None = 0.6
    ladder: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    """Temperatures to try when decoding at full length has not helped either."""

    def token_budget(self, window: Window) -> int:
        """Tokens that the window may take: a loop ends there, speech never gets there."""
        if self.max_tokens_per_s is None:
            return 224
        return min(224, round(1.4 * self.max_tokens_per_s * window.duration_s) + 16)

    def faults(self, answer: Answer, window: Window) -> frozenset[Fault]:
        """Everything that is wrong with ``answer``."""
        found = set()
        if self._silent(answer, window):
            return frozenset({Fault.SILENCE})
        if self._loops(answer, window):
            found.add(Fault.LOOP)
        if self.min_avg_logprob is not None and answer.avg_logprob < self.min_avg_logprob:
            found.add(Fault.LOW_CONFIDENCE)
        if self.min_words_per_s is not None:
            # One word less than that, because half a second may be a breath.
            least = self.min_words_per_s * window.speech_s() - 1
            if words(answer.text) < least:
                found.add(Fault.MISSING_WORDS)
        return frozenset(found)

    def hopeless(self, answer: Answer) -> bool:
        """Whether only another temperature may help; Whisper's own limits for it."""
        if self.max_compression is not None and answer.compression_ratio > _HOPELESS_COMPRESSION:
            return True
        return self.min_avg_logprob is not None and answer.avg_logprob < self.min_avg_logprob

    def _loops(self, answer: Answer, window: Window) -> bool:
        if self.max_compression is not None and answer.compression_ratio > self.max_compression:
            return True
        if self.max_tokens_per_s is None:
            return False
        return len(answer.tokens) > self.max_tokens_per_s * window.duration_s + 8

    def _silent(self, answer: Answer, window: Window) -> bool:
        if self.max_no_speech is None:
            return False
        if answer.text and not words(answer.text):
            return True  # dots and notes: what Whisper writes to music
        if answer.no_speech_prob <= self.max_no_speech:
            return False
        confident = self.min_avg_logprob is None or answer.avg_logprob >= self.min_avg_logprob
        return not confident or window.speech_s() < _LEAST_SPEECH_SHARE * window.duration_s


def words(text: str) -> float:
    """How many words ``text`` has, counting two characters as one where none are spaced."""
    unspaced = len(_UNSPACED.findall(text))
    return len(_WORD.findall(_UNSPACED.sub(" ", text))) + unspaced / 2

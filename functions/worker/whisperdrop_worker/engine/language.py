"""What language a recording is in."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from whisperdrop_worker.engine.recognizer import Answer
from whisperdrop_worker.engine.windows import Window

DETECTION_SPEECH_S = 25.0
"""Speech to listen to before the language of a recording is decided: about what Whisper hears in
its first 30 s."""


@dataclass(frozen=True)
class DocumentLanguage:
    """The language of a recording, and how sure that is."""

    code: str
    probability: float = 1.0


def decide(heard: Sequence[tuple[Window, Answer]]) -> DocumentLanguage:
    """The language of a recording whose first windows were ``heard``, weighed by their speech."""
    weights: dict[str, float] = defaultdict(float)
    total = 0.0
    for window, answer in heard:
        weight = window.speech_s() + 0.1
        total += weight
        for code, probability in answer.languages:
            weights[code] += weight * probability
    code = max(weights, key=lambda one: weights[one])
    return DocumentLanguage(code, weights[code] / total)

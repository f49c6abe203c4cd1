"""Word error rate, and character error rate for languages that are written without spaces."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jiwer
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

BY_CHARACTER = frozenset({"ja", "ko", "zh"})
"""Korean has spaces, but where they go is a matter of taste: its words compare badly."""


@dataclass(frozen=True)
class Errors:
    """What has to be changed to get from what was heard to what was said."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    length: int = 0
    """Words, or characters, that were said."""

    @property
    def count(self) -> int:
        """Of any kind."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors for each word or character that was said."""
        return self.count / self.length if self.length else 0.0

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.length + other.length,
        )

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "rate": self.rate,
            "substitutions": self.substitutions,
            "deletions": self.deletions,
            "insertions": self.insertions,
            "length": self.length,
        }


def unit(language: str | None) -> str:
    """What is counted in this language: WER or CER."""
    return "CER" if language in BY_CHARACTER else "WER"


def errors(said: str, heard: str, language: str | None) -> Errors:
    """Of one recording, after normalising both texts as OpenAI's evaluation of Whisper does."""
    normal = _normaliser(language)
    reference, hypothesis = normal(said), normal(heard)
    counted: jiwer.WordOutput | jiwer.CharacterOutput
    if language in BY_CHARACTER:
        reference, hypothesis = _joined(reference), _joined(hypothesis)
        counted = jiwer.process_characters(reference, hypothesis)
    else:
        counted = jiwer.process_words(reference, hypothesis)
    return Errors(
        counted.substitutions,
        counted.deletions,
        counted.insertions,
        counted.hits + counted.substitutions + counted.deletions,
    )


def total(each: Iterable[Errors]) -> Errors:
    """Of a set: each word counts the same, whatever recording it is in."""
    return sum(each, Errors())


def _joined(text: str) -> str:
    return "".join(text.split())


@cache
def _normaliser(language: str | None) -> Callable[[str], str]:
    made: Callable[[str], str] = (
        EnglishTextNormalizer() if language in {None, "en"} else BasicTextNormalizer()
    )
    return made

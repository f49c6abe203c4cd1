"""How wide a text is, and where it may be broken where a script has no spaces."""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

FULL_WIDTH = frozenset({"zh", "yue", "ja", "ko"})
"""Languages whose characters are counted in full widths, two columns each."""

_WHITESPACE = re.compile(r"[^\S\u00a0\u2007\u202f]+")  # no-break spaces hold words together
_JOINER = "\u200d"
_THAI_BEFORE = frozenset("เแโใไເແໂໃໄ")  # vowels written before their consonant
_THAI_AFTER = frozenset("ะาำฯๆๅະາຳໆຯ")
_CLOSING_MARKS = frozenset("、。，．・：；？！…‥〜～％")
_NEVER_FIRST = frozenset("ー゛゜ヽヾゝゞ々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ")


@lru_cache(maxsize=4096)
def _width(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def columns(text: str) -> int:
    """Width of ``text`` where a Latin letter has 1: full-width characters have 2, marks none."""
    return len(text) if text.isascii() else sum(map(_width, text))


def one_line(text: str) -> str:
    """``text`` without line ends and tabs, and without more than one space in a place."""
    return " ".join(words(text))


def words(text: str) -> list[str]:
    """What spaces separate in ``text``."""
    return [word for word in _WHITESPACE.split(text) if word.strip()]


def units(word: str, *, japanese: bool) -> list[str]:
    """``word`` divided where a line may end without cutting what belongs together.

    Chinese characters are divided from each other, since nothing shows where words end. Japanese
    is divided where kana end, which is after particles and endings as a rule. Punctuation stays
    where no line begins with a closing and none ends with an opening one.
    """
    return _divided(word, _in_japanese if japanese else _in_chinese)


def shards(word: str, widest: int) -> list[str]:
    """``word`` divided so that pieces have ``widest`` columns at most, where its script can be.

    First where one kind of character follows another, then anywhere between characters. A word of
    letters stays whole.
    """
    return [
        shard
        for part in _divided(word, _where_kinds_change)
        for shard in ([part] if columns(part) <= widest else _divided(part, _anywhere))
    ]


_Tied = Callable[[str, str], bool]
"""Whether characters of these kinds stay together."""


def _divided(word: str, tied: _Tied) -> list[str]:
    if word.isascii():
        return [word]
    found = [word[0]]
    before = _kind(word[0])
    for previous, char in pairwise(word):
        kind = _kind(char)
        if (
            kind in {"mark", "close"}
            or before == "open"
            or char in _NEVER_FIRST
            or previous == _JOINER
            or before == kind == "letter"
            or (kind == "letter" and before == "close" and _width(previous) < 2)  # O’Neill, 3.5
            or (before == kind == "southeast" and _in_cluster(previous, char))
            or tied(before, kind)
        ):
            found[-1] += char
        else:
            found.append(char)
        if kind != "mark":
            before = kind
    return found


def _in_japanese(before: str, kind: str) -> bool:
    if kind == "hiragana":
        return before in {"han", "katakana", "hiragana"}
    return before == kind and kind in {"han", "katakana", "southeast"}


def _in_chinese(before: str, kind: str) -> bool:
    return kind != "han" and _in_japanese(before, kind)


def _where_kinds_change(before: str, kind: str) -> bool:
    return before == kind


def _anywhere(before: str, kind: str) -> bool:  # noqa: ARG001 - one of several
    return False


def _in_cluster(previous: str, char: str) -> bool:
    return previous in _THAI_BEFORE or char in _THAI_AFTER


@lru_cache(maxsize=4096)
def _kind(char: str) -> str:
    code, category = ord(char), unicodedata.category(char)
    if category in {"Mn", "Mc", "Me", "Cf"}:
        return "mark"
    if char in _CLOSING_MARKS or category in {"Pe", "Pf"}:
        return "close"
    if category in {"Ps", "Pi"}:
        return "open"
    if 0x3040 <= code <= 0x309F:
        return "hiragana"
    if 0x30A0 <= code <= 0x30FF or 0x31F0 <= code <= 0x31FF:
        return "katakana"
    if 0x2E80 <= code <= 0x2FDF or 0x3400 <= code <= 0x9FFF or 0x20000 <= code <= 0x3FFFF:
        return "han"
    if 0xF900 <= code <= 0xFAFF:
        return "han"
    if 0x0E00 <= code <= 0x0EFF or 0x1000 <= code <= 0x109F or 0x1780 <= code <= 0x17FF:
        return "southeast"
    return "letter"

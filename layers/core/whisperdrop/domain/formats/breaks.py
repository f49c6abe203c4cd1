"""How bad it is to break between two words: 0 after a sentence, 40 within a word.

The order is that of Netflix's Timed Text Style Guide: after punctuation, before conjunctions and
prepositions, never between a noun and its article, a first and a last name, or a verb and its
pronoun or auxiliary. The BBC's Subtitle Guidelines ask for the same under "Line breaks".
"""

from whisperdrop.domain.formats.function_words import LEANING, TIED, VERBS
from whisperdrop.domain.formats.pieces import Piece

SENTENCE = 0.0
CLAUSE = 2.0
BEFORE_LEANING = 8.0
BEFORE_VERB = 9.0
BETWEEN_WORDS = 15.0
WITHIN_SCRIPT = 15.0
WITHIN_NAME = 17.0
AFTER_LEANING = 24.0
WITHIN_WORD = 40.0

_CLOSING = "\"'”’»›)]}）」』】〉》*_"
_OPENING = "\"'“‘«‹([{¿¡„（「『【〈《"
_ENDS = frozenset(".!?…。！？．؟۔।॥።։")
_CLAUSE_ENDS = frozenset(",;:、，；：،؛—–·")
_DASHES = frozenset({"-", "–", "—", "--"})
_ABBREVIATIONS = frozenset(
    (  # noqa: SIM905 - thirty lines otherwise
        "mr. mrs. ms. dr. prof. st. jr. sr. vs. etc. e.g. i.e. approx. ca. bzw. z.b. d.h. usw. nr. "
        "m. mme. mlle. sra. dra. sig. dott. u.s. a.m. p.m."
    ).split()
)
_CAPITALS_ARE_NOUNS = frozenset({"de", "lb"})


def ends_sentence(left: str, right: str | None = None) -> bool:
    """Whether ``left`` is the last word of a sentence, as far as it and the next word show."""
    bare = left.rstrip(_CLOSING)
    if not bare or bare[-1] not in _ENDS:
        return False
    if right is not None and right.lstrip(_OPENING)[:1].islower():
        return False
    if bare[-1] != ".":
        return True
    initial = len(bare) == 2 and bare[0].isupper() and bare[0] != "I"
    return right is None or not (initial or bare.lstrip(_OPENING).lower() in _ABBREVIATIONS)


def penalty(left: Piece, right: Piece, language: str) -> float:
    """How bad it is to end a line after ``left`` and to begin the next with ``right``."""
    if ends_sentence(left.text, right.text):
        return SENTENCE
    last = left.text.rstrip(_CLOSING)[-1:]
    if left.text not in _DASHES and (last in _CLAUSE_ENDS or last == "…"):
        return CLAUSE
    if not right.space:
        return WITHIN_WORD if right.within_word else WITHIN_SCRIPT
    before, after = _bare(left.text), _bare(right.text)
    leaning = LEANING.get(language, frozenset())
    verbs = VERBS.get(language, frozenset())
    tied = before in leaning or before in verbs or before in TIED.get(language, ())
    if tied or left.text in _DASHES:
        return AFTER_LEANING
    if left.text.lower() in _ABBREVIATIONS:
        return WITHIN_NAME
    if after in leaning or right.text in _DASHES:
        return BEFORE_LEANING
    if after in verbs:
        return BEFORE_VERB
    names = left.text[0].isupper() and right.text[0].isupper()
    if names and language not in _CAPITALS_ARE_NOUNS:
        return WITHIN_NAME
    if left.text[-1].isdigit():
        return WITHIN_NAME
    return BETWEEN_WORDS


def _bare(word: str) -> str:
    bare = word.strip(_OPENING + _CLOSING + ".,;:!?").lower().replace("’", "'")
    return bare or word

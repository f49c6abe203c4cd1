"""One window, from the first attempt to what is kept: a conversation with the model.

A generator asks, the scheduler answers; between two questions other windows get their turn, and a
job that has ended is simply not answered any more.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from whisperdrop.domain.transcript import Segment, Word
from whisperdrop.observability.catalogue import REDECODES
from whisperdrop.observability.metrics import record
from whisperdrop_worker.engine.guard import Fault, Guard
from whisperdrop_worker.engine.recognizer import FULL_S, Answer, Ask, Piece, Prompt, Style
from whisperdrop_worker.engine.windows import Window

_LEAST_REST_SPEECH_S = 0.8
_LEAST_COVERED_S = 0.5
_SURE_OF_LANGUAGE = 0.9
_SETTLING_S = 0.2  # times that the model writes are this much too early at times
_MAX_CONTINUATIONS = 6
_LOOK_BACK_WORDS = 12
_PHRASE_WORDS = 4
_FULL_TOKENS = 224

REDECODED = "redecoded"
CONTINUED = "continued"
SAMPLED = "sampled"


@dataclass(frozen=True)
class Encoding:
    """How long a window is encoded: its length and ``pad_s`` of silence, in steps of ``step_s``,
    at least ``least_s``. Seconds."""

    pad_s: float = 3.0
    step_s: float = 3.0
    least_s: float = 6.0

    def seconds(self, window_s: float) -> float:
        """For a window of ``window_s``."""
        wanted = max(window_s + self.pad_s, self.least_s)
        return min(FULL_S, self.step_s * -(-wanted // self.step_s))


@dataclass(frozen=True, eq=False)
class Finished:
    """A window that is done, without its samples: a transcript must not keep the recording alive.

    Everything is in seconds of the recording; the segments are not numbered yet.
    """

    index: int
    end_s: float
    duration_s: float
    language: str
    language_probability: float
    segments: tuple[Segment, ...]


def transcribe(
    window: Window, prompt: Prompt, *, style: Style, guard: Guard, encoding: Encoding
) -> Generator[Ask, Answer, Finished]:
    """Everything there is to ask about ``window``."""
    answer, flags = yield from _best(window, prompt, style=style, guard=guard, encoding=encoding)
    languages = answer.languages
    alone = prompt.language is None and prompt.document is None
    if alone and languages[0][1] < _SURE_OF_LANGUAGE:
        # At its own length a window's language is a guess at times; at the full length less so.
        heard = yield from listen(window)
        languages = heard.languages
        if heard.language != answer.language:
            prompt = replace(prompt, language=heard.language)
            answer, flags = yield from _best(
                window, prompt, style=style, guard=guard, encoding=encoding
            )
    prompt = replace(prompt, language=answer.language)
    probability = dict(languages).get(answer.language, 0.0)
    segments = [_segment(window, answer, piece, flags) for piece in answer.pieces]
    rest = window
    # The model may close its last sentence and stop although more is said. Whisper goes on from
    # there, and so do we, with what was said as context.
    for _ in range(_MAX_CONTINUATIONS):
        covered_s = answer.pieces[-1].end if answer.pieces else 0.0
        if covered_s < _LEAST_COVERED_S:
            break
        if rest.speech_s(after_s=covered_s + _SETTLING_S) < _LEAST_REST_SPEECH_S:
            break
        said = tuple(token for piece in answer.pieces for token in piece.tokens)
        prompt = replace(prompt, previous=prompt.previous + said)
        rest = rest.rest(covered_s)
        encoded_s = encoding.seconds(rest.duration_s)
        answer = yield Ask(rest.audio, encoded_s, style, prompt, guard.token_budget(rest))
        text = "".join(segment.text for segment in segments)
        if guard.faults(answer, rest) - {Fault.MISSING_WORDS} or repeats(text, answer.text):
            break  # nothing was left out: the times were wrong, not the words
        segments += [
            _segment(rest, answer, piece, frozenset({CONTINUED})) for piece in answer.pieces
        ]
    return Finished(
        index=window.index,
        end_s=window.end_s,
        duration_s=window.duration_s,
        language=answer.language,
        language_probability=probability,
        segments=tuple(segments),
    )


def listen(window: Window) -> Generator[Ask, Answer, Answer]:
    """Ask for the languages of ``window`` alone."""
    answer = yield Ask(window.audio, FULL_S, Style(), Prompt(None), 0, detect_only=True)
    return answer


def _best(
    window: Window, prompt: Prompt, *, style: Style, guard: Guard, encoding: Encoding
) -> Generator[Ask, Answer, tuple[Answer, frozenset[str]]]:
    """The answer to keep, and what was done for it."""
    encoded_s = encoding.seconds(window.duration_s)
    budget = guard.token_budget(window)
    first = yield Ask(window.audio, encoded_s, style, prompt, budget)
    faults = guard.faults(first, window)
    if not faults:
        return first, frozenset()
    if faults == {Fault.SILENCE}:
        return replace(first, pieces=(), text=""), frozenset()
    for fault in faults:
        record(REDECODES, reason=fault)
    prompt = replace(prompt, language=first.language)
    tried = [(first, faults)]
    encoded = first.encoded if encoded_s >= FULL_S else None
    # The same question at the same length would only get the same answer.
    again_first = () if encoded_s >= FULL_S else (style.temperature,)
    for temperature in (*again_first, *guard.ladder):
        again = replace(style, temperature=temperature)
        # Some scripts take more tokens than the budget allows: the second attempt shows it. What
        # is sampled after that is a guess, and rambles on for as long as it may.
        limit = min(_FULL_TOKENS, 2 * budget) if temperature else _FULL_TOKENS
        answer = yield Ask(window.audio, FULL_S, again, prompt, limit, encoded=encoded)
        encoded = answer.encoded
        tried.append((answer, guard.faults(answer, window)))
        if not guard.hopeless(answer):
            break
    answer, _ = min(tried, key=lambda one: _badness(*one))
    if answer is first:
        return answer, frozenset()
    return answer, frozenset({REDECODED} | ({SAMPLED} if answer.temperature else set()))


def repeats(text: str, continuation: str) -> bool:
    """Whether ``continuation`` begins with words that ``text`` ends with, is for the most part a
    phrase of them, or says itself twice."""
    before, after = _words(text)[-_LOOK_BACK_WORDS:], _words(continuation)
    phrase = SequenceMatcher(a=before, b=after, autojunk=False).find_longest_match().size
    if phrase >= _PHRASE_WORDS and 2 * phrase > len(after):
        return True
    if len(after) >= 4 and after[: len(after) // 2] == after[len(after) // 2 :]:
        return True
    head = after[:2]
    return any(before[at : at + len(head)] == head for at in range(len(before) - len(head) + 1))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _badness(answer: Answer, faults: frozenset[Fault]) -> tuple[bool, bool, bool, float]:
    return (
        Fault.LOOP in faults,
        Fault.LOW_CONFIDENCE in faults,
        Fault.MISSING_WORDS in faults,
        -answer.avg_logprob,
    )


def _segment(window: Window, answer: Answer, piece: Piece, flags: frozenset[str]) -> Segment:
    """A piece in seconds of the recording."""
    offset = window.start_s
    return Segment(
        id=0,
        seek=round(offset * 100),
        start=round(offset + piece.start, 2),
        end=round(offset + piece.end, 2),
        text=piece.text,
        tokens=piece.tokens,
        temperature=answer.temperature,
        avg_logprob=answer.avg_logprob,
        compression_ratio=answer.compression_ratio,
        no_speech_prob=answer.no_speech_prob,
        words=None
        if piece.words is None
        else tuple(
            Word(
                word=word,
                start=round(offset + start, 2),
                end=round(offset + end, 2),
                probability=probability,
            )
            for word, start, end, probability in piece.words
        ),
        logprobs=piece.logprobs,
        flags=tuple(sorted(flags)),
    )

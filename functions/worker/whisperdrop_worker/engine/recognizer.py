"""One call into the model: a batch of windows, from samples to tokens.

CTranslate2's encoder takes windows shorter than Whisper's 30 s, which is where the time of short
clips goes. What it has seen in training is 30 s with silence at the end, so some silence is left.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens
from numpy.typing import NDArray

from whisperdrop.domain.transcript import TokenLogprob
from whisperdrop_worker.decode_protocol import SAMPLE_RATE
from whisperdrop_worker.engine.interface import Samples
from whisperdrop_worker.engine.vocabulary import token_bytes

FULL_S = 30.0
"""The length that Whisper was trained on, in seconds."""

_FRAMES_A_SECOND = 100
_MAX_INITIAL_TIMESTAMP = 50  # of them: Whisper's own 1 s
_HYPOTHESES = 5  # sampled at a temperature above 0, the best is taken; Whisper's best_of
_SURE = 0.9  # probability from which a window is in another language than its recording
_LEAST_PROBABILITY = 1e-30  # of a float that came out as zero
_PREPEND = "\"'“¿([{-"
_APPEND = "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001 - both widths of each are in use


@dataclass(frozen=True)
class Style:
    """What every row of a batch must share, beside the length it is encoded at."""

    beam_size: int = 5
    temperature: float = 0.0
    words: bool = False
    """Align the tokens with the audio, for times of words."""
    logprobs: bool = False
    """Ask the model once more how likely each token is."""


@dataclass(frozen=True)
class Prompt:
    """What may differ from row to row."""

    language: str | None
    """None lets the model choose."""
    document: str | None = None
    """Language of the recording: where the model chooses, it is this unless the window is all but
    certainly in another one."""
    task: str = "transcribe"
    text: str | None = None
    """Precedes the audio, as if it had been said before."""
    hotwords: str | None = None
    previous: tuple[int, ...] = ()
    """Tokens of what was said just before in the same window."""


@dataclass(frozen=True, eq=False)
class Ask:
    """One row: ``audio`` (samples,) to be encoded as ``encoded_s`` seconds."""

    audio: Samples
    encoded_s: float
    style: Style
    prompt: Prompt
    max_tokens: int
    detect_only: bool = False
    """Stop after the language is known."""
    encoded: ctranslate2.StorageView | None = None
    """The encoder's output for the same audio, from an earlier answer."""

    @property
    def group(self) -> tuple[object, ...]:
        """What rows of one batch have in common, beside the length of their prompts."""
        alone = None if self.encoded is None else id(self.encoded)
        return (self.encoded_s, self.style, self.detect_only, alone)


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model made of an ``Ask``.

    ``languages`` is what the model was asked to choose from, most likely first: pairs of code and
    probability. ``avg_logprob`` is the mean natural-log probability of the tokens.
    """

    language: str
    languages: tuple[tuple[str, float], ...] = ()
    tokens: tuple[int, ...] = ()
    text: str = ""
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0
    compression_ratio: float = 0.0
    temperature: float = 0.0
    pieces: tuple["Piece", ...] = ()
    encoded: ctranslate2.StorageView | None = None
    """The encoder's output, where it is this row's alone."""


@dataclass(frozen=True)
class Piece:
    """A stretch between two timestamps; seconds from the start of the window."""

    start: float
    end: float
    tokens: tuple[int, ...]
    text: str
    words: tuple[tuple[str, float, float, float], ...] | None = None
    """Word, start, end, probability."""
    logprobs: tuple[TokenLogprob, ...] | None = None


class Recognizer:
    """Calls into one loaded model. Safe to use from several threads."""

    def __init__(self, whisper: WhisperModel) -> None:
        self._whisper = whisper
        self._tokenizers: dict[tuple[str, str], Tokenizer] = {}

    @property
    def multilingual(self) -> bool:
        """Whether the model knows more than English."""
        return bool(self._whisper.model.is_multilingual)

    def knows(self, language: str) -> bool:
        """Whether there is a token for ``language``."""
        return self._whisper.hf_tokenizer.token_to_id(f"<|{language}|>") is not None

    def prompt_length(self, prompt: Prompt) -> int:
        """Tokens before the first one that the model writes; equal in all rows of a batch."""
        return len(self._prompt(prompt, prompt.language or "en"))

    def run(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answers in the order of ``asks``, which share style, length and prompt length.

        Raises RuntimeError, as CTranslate2 does, when the device has no memory for them.
        """
        encoded = asks[0].encoded or self._encode(asks)
        languages = self._languages(asks, encoded)
        if all(ask.detect_only for ask in asks):
            return [Answer(language=found[0][0], languages=found) for found in languages]
        spoken = [_spoken(ask.prompt, found) for ask, found in zip(asks, languages, strict=True)]
        results = self._generate(asks, spoken, encoded)
        answers = [
            self._answer(ask, language, found, result, encoded if len(asks) == 1 else None)
            for ask, language, found, result in zip(asks, spoken, languages, results, strict=True)
        ]
        if asks[0].style.words:
            answers = self._align(asks, answers, encoded)
        return self._weigh(asks, answers, encoded) if asks[0].style.logprobs else answers

    def tokenizer(self, language: str, task: str) -> Tokenizer:
        """Whisper's tokenizer for one language and task."""
        key = (language, task)
        if key not in self._tokenizers:
            multilingual = self.multilingual
            self._tokenizers[key] = Tokenizer(
                self._whisper.hf_tokenizer,
                multilingual,
                task=task if multilingual else None,
                language=language if multilingual else None,
            )
        return self._tokenizers[key]

    def _encode(self, asks: Sequence[Ask]) -> ctranslate2.StorageView:
        frames = round(asks[0].encoded_s * _FRAMES_A_SECOND)
        rows = [self._features(ask.audio, frames) for ask in asks]
        if len(rows) == 1 or self._whisper.model.device == "cuda":
            return self._whisper.encode(np.stack(rows))
        # A CPU encodes one row after the other faster than all at once, which no cache can hold;
        # the decoder, whose rows are single tokens, is the other way round.
        outputs = [np.asarray(self._whisper.encode(row)) for row in rows]
        return ctranslate2.StorageView.from_array(np.concatenate(outputs))

    def _features(self, audio: Samples, frames: int) -> NDArray[np.float32]:
        # Silence is added to the samples, as Whisper itself does; zeros added to the features, as
        # faster-whisper does, are a sound of their own and cost accuracy in short windows.
        missing = max(0, frames * SAMPLE_RATE // _FRAMES_A_SECOND - len(audio))
        features = self._whisper.feature_extractor(np.pad(audio, (0, missing)), padding=160)
        return np.ascontiguousarray(features[:, :frames])

    def _languages(
        self, asks: Sequence[Ask], encoded: ctranslate2.StorageView
    ) -> list[tuple[tuple[str, float], ...]]:
        if not self.multilingual or all(ask.prompt.language for ask in asks):
            return [((ask.prompt.language or "en", 1.0),) for ask in asks]
        return [
            tuple((token[2:-2], float(probability)) for token, probability in row)
            for row in self._whisper.model.detect_language(encoded)
        ]

    def _prompt(self, prompt: Prompt, language: str) -> list[int]:
        tokenizer = self.tokenizer(language, prompt.task)
        previous = list(prompt.previous)
        if prompt.text and prompt.text.strip():
            previous = [*tokenizer.encode(" " + prompt.text.strip()), *previous]
        tokens: list[int] = self._whisper.get_prompt(tokenizer, previous, hotwords=prompt.hotwords)
        return tokens

    def _generate(
        self, asks: Sequence[Ask], spoken: Sequence[str], encoded: ctranslate2.StorageView
    ) -> list[Any]:
        style = asks[0].style
        search: dict[str, Any] = (
            {
                "beam_size": 1,
                "num_hypotheses": _HYPOTHESES,
                "sampling_topk": 0,
                "sampling_temperature": style.temperature,
            }
            if style.temperature
            else {"beam_size": style.beam_size, "patience": 1}
        )
        prompts = [self._prompt(ask.prompt, said) for ask, said in zip(asks, spoken, strict=True)]
        limit = max(len(prompt) for prompt in prompts) + max(ask.max_tokens for ask in asks)
        results: list[Any] = self._whisper.model.generate(
            encoded,
            prompts,
            max_length=min(limit, self._whisper.max_length),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=get_suppressed_tokens(
                self.tokenizer(spoken[0], asks[0].prompt.task), [-1]
            ),
            max_initial_timestamp_index=_MAX_INITIAL_TIMESTAMP,
            **search,
        )
        return results

    def _answer(
        self,
        ask: Ask,
        language: str,
        languages: tuple[tuple[str, float], ...],
        result: Any,
        encoded: ctranslate2.StorageView | None,
    ) -> Answer:
        tokenizer = self.tokenizer(language, ask.prompt.task)
        tokens = tuple(result.sequences_ids[0])
        duration_s = len(ask.audio) / SAMPLE_RATE
        text = tokenizer.decode(list(tokens)).strip()
        return Answer(
            language=language,
            languages=languages,
            tokens=tokens,
            text=text,
            # CTranslate2 divides the sum by the length without the token that ends it.
            avg_logprob=float(result.scores[0]) * len(tokens) / (len(tokens) + 1),
            no_speech_prob=float(result.no_speech_prob),
            compression_ratio=compression_ratio(text),
            temperature=ask.style.temperature,
            pieces=tuple(self._pieces(tokenizer, tokens, duration_s)),
            encoded=encoded,
        )

    def _pieces(
        self, tokenizer: Tokenizer, tokens: Sequence[int], duration_s: float
    ) -> list[Piece]:
        # Private, but what faster-whisper's own batched pipeline calls.
        split, _, _ = self._whisper._split_segments_by_timestamps(
            tokenizer=tokenizer,
            tokens=list(tokens),
            time_offset=0.0,
            segment_size=math.ceil(duration_s * _FRAMES_A_SECOND),
            segment_duration=duration_s,
            seek=0,
        )
        pieces = []
        for one in split:
            text = tokenizer.decode(one["tokens"])
            if text.strip():
                start = min(float(one["start"]), duration_s)
                end = min(max(float(one["end"]), start), duration_s)
                pieces.append(Piece(start, end, tuple(one["tokens"]), text))
        return pieces

    def _align(
        self, asks: Sequence[Ask], answers: list[Answer], encoded: ctranslate2.StorageView
    ) -> list[Answer]:
        """``answers`` with the times of words, and of pieces by their first and last words.

        faster-whisper's alignment: cross attention and dynamic time warping.
        """
        frames = [math.ceil(len(ask.audio) / SAMPLE_RATE * _FRAMES_A_SECOND) for ask in asks]
        aligned = list(answers)
        # The alignment wants one language for a batch; more than one are rare.
        for language in {answer.language for answer in answers}:
            rows = [_for_alignment(answer) for answer in answers]
            self._whisper.add_word_timestamps(
                rows,
                self.tokenizer(language, asks[0].prompt.task),
                encoded,
                frames,
                _PREPEND,
                _APPEND,
                last_speech_timestamp=0.0,
            )
            for number, row in enumerate(rows):
                if answers[number].language == language:
                    duration_s = len(asks[number].audio) / SAMPLE_RATE
                    aligned[number] = _with_words(answers[number], row, duration_s)
        return aligned

    def _weigh(
        self, asks: Sequence[Ask], answers: list[Answer], encoded: ctranslate2.StorageView
    ) -> list[Answer]:
        """``answers`` with the log-probability of every token of the text.

        Generating tells their mean alone. The alignment reads the text once more, without its
        timestamps, and says how likely each token was after those before it.
        """
        frames = [math.ceil(len(ask.audio) / SAMPLE_RATE * _FRAMES_A_SECOND) for ask in asks]
        weighed = list(answers)
        for language in {answer.language for answer in answers}:
            tokenizer = self.tokenizer(language, asks[0].prompt.task)
            rows = [
                [token for piece in one.pieces for token in piece.tokens if token < tokenizer.eot]
                for one in answers
            ]
            results = self._whisper.model.align(encoded, tokenizer.sot_sequence, rows, frames)
            for number, (answer, result) in enumerate(zip(answers, results, strict=True)):
                if answer.language != language:
                    continue
                likely = iter(result.text_token_probs)
                pieces = tuple(
                    replace(
                        piece,
                        logprobs=tuple(
                            self._logprob(token, next(likely))
                            for token in piece.tokens
                            if token < tokenizer.eot
                        ),
                    )
                    for piece in answer.pieces
                )
                weighed[number] = replace(answer, pieces=pieces)
        return weighed

    def _logprob(self, token: int, probability: float) -> TokenLogprob:
        data = token_bytes(str(self._whisper.hf_tokenizer.id_to_token(token)))
        return TokenLogprob(
            token=data.decode(errors="replace"),
            bytes=tuple(data),
            logprob=math.log(min(1.0, max(probability, _LEAST_PROBABILITY))),
        )


def _spoken(prompt: Prompt, found: Sequence[tuple[str, float]]) -> str:
    """The language to decode in, where ``found`` are those that the model hears."""
    code, probability = found[0]
    if prompt.language is not None:
        return prompt.language
    return code if prompt.document is None or probability >= _SURE else prompt.document


def _for_alignment(answer: Answer) -> list[dict[str, Any]]:
    nothing = {"seek": 0, "start": 0.0, "end": 0.0, "tokens": []}
    return [
        {"seek": 0, "start": piece.start, "end": piece.end, "tokens": list(piece.tokens)}
        for piece in answer.pieces
    ] or [nothing]


def _with_words(answer: Answer, row: list[dict[str, Any]], duration_s: float) -> Answer:
    pieces = []
    for piece, found in zip(answer.pieces, row, strict=False):
        words = tuple(
            (
                str(word["word"]),
                min(float(word["start"]), duration_s),
                min(float(word["end"]), duration_s),
                min(1.0, max(0.0, float(word["probability"]))),
            )
            for word in found["words"]
        )
        if words:
            start, end = words[0][1], max(words[0][1], words[-1][2])
            pieces.append(replace(piece, start=start, end=end, words=words))
        else:
            pieces.append(replace(piece, words=()))
    return replace(answer, pieces=tuple(pieces))


def compression_ratio(text: str) -> float:
    """How many times smaller zlib makes ``text``; 0 for no text. Loops compress well."""
    if not text:
        return 0.0
    data = text.encode()
    return len(data) / len(zlib.compress(data))

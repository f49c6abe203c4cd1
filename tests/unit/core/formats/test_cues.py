"""What every subtitle must be, whatever the transcript says."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import a_ref, a_transcript
from whisperdrop.domain.formats import Cue, CueRules, cues
from whisperdrop.domain.formats.scripts import columns
from whisperdrop.domain.transcript import Segment, Transcript, Word

WORDS = """
the a of and because I we Mr. Smith is not going house, however; Really? Yes. No! 42 km — - 3.5 e.g.
“quoted” extraordinarily Donaudampfschifffahrtsgesellschaft --> <i>&amp;</i> 東京都に行きました。
今日は、 コンピューター ภาษาไทยง่ายนิดเดียว مرحبا 👩‍👩‍👧 10 000
"""
TEXTS = st.one_of(
    st.lists(
        st.sampled_from(WORDS.split()),
        max_size=40,
    ).map(lambda found: "".join(f" {word}" for word in found)),
    st.text(max_size=60),
)
TIMES = st.one_of(
    st.floats(0, 120),
    st.sampled_from([0.0, 0.0, 5.0, -3.0, 99.9996, 360_000.0, 1e9, 1e300, -1e300]),
)
RULES = st.builds(
    CueRules,
    max_line_chars=st.none() | st.integers(4, 100),
    max_lines=st.integers(1, 4),
    max_cue_seconds=st.floats(1, 30),
    min_cue_seconds=st.floats(0, 1),
    min_gap_seconds=st.floats(0, 2),
    max_chars_per_second=st.none() | st.floats(1, 100),
)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Segments at any time and in any order, with words that need not be those of the text."""
    segments = []
    for n in range(draw(st.integers(0, 5))):
        text = draw(TEXTS)
        words = None
        if draw(st.booleans()):
            kept = draw(st.sampled_from([text.split(), text.split()[1:], list(text)]))
            words = tuple(
                Word(word=f" {word}", start=draw(TIMES), end=draw(TIMES), probability=0.5)
                for word in kept
            )
        segments.append(
            Segment(id=n, seek=0, start=draw(TIMES), end=draw(TIMES), text=text, words=words)
        )
    return a_transcript(
        a_ref(),
        segments=tuple(segments),
        language=draw(st.sampled_from(["en", "de", "fr", "ja", "zh", "ko", "th", "ar", "xx"])),
        task=draw(st.sampled_from(["transcribe", "translate"])),
        duration=draw(TIMES),
    )


def spoken_evenly(
    *texts: str, seconds: float = 2.0, pause: float = 0.0, **fields: Any
) -> Transcript:
    """One segment after the other."""
    step = seconds + pause
    segments = [
        Segment(id=n, seek=0, start=n * step, end=n * step + seconds, text=f" {text}")
        for n, text in enumerate(texts)
    ]
    return a_transcript(
        a_ref(), segments=tuple(segments), duration=len(texts) * step + 60, **fields
    )


LOOSELY = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def language_of(transcript: Transcript) -> str:
    return "en" if transcript.task == "translate" else transcript.language


def chars(text: str, language: str) -> float:
    return columns(text) / (2 if language in {"zh", "yue", "ja", "ko"} else 1)


def ms(seconds: float) -> int:
    return round(seconds * 1000)


def bare(text: str) -> str:
    return "".join(text.replace("\0", "\ufffd").split())


@given(transcripts(), RULES)
@LOOSELY
def test_no_text_is_lost_changed_or_moved(transcript: Transcript, rules: CueRules) -> None:
    found = "".join(line for cue in cues(transcript, rules) for line in cue.lines)
    assert bare(found) == bare("".join(segment.text for segment in transcript.segments))


@given(transcripts(), RULES)
@LOOSELY
def test_a_line_is_over_the_limit_only_if_it_is_one_word(
    transcript: Transcript, rules: CueRules
) -> None:
    language = language_of(transcript)
    for cue in cues(transcript, rules):
        assert 1 <= len(cue.lines) <= rules.max_lines
        for line in cue.lines:
            assert line == line.strip(" \t\n")
            assert line.strip()
            assert chars(line, language) <= rules.line_chars(language) or " " not in line


@given(transcripts(), RULES)
@LOOSELY
def test_a_line_ends_within_a_word_only_where_the_script_has_no_spaces(
    transcript: Transcript, rules: CueRules
) -> None:
    spoken = [word for segment in transcript.segments for word in segment.text.split()]
    latin = {word for word in spoken if word.isascii()}
    shown = {word for cue in cues(transcript, rules) for line in cue.lines for word in line.split()}
    assert {word for word in latin if "\0" not in word} <= shown


@given(transcripts(), RULES)
@LOOSELY
def test_cues_follow_each_other_without_overlap_and_none_stands_too_long(
    transcript: Transcript, rules: CueRules
) -> None:
    found = cues(transcript, rules)
    for cue in found:
        assert 0 < ms(cue.end) - ms(cue.start) <= round(rules.max_cue_seconds * 1000)
        assert cue.start >= 0
    for cue, following in pairwise(found):
        assert ms(cue.end) <= ms(following.start)


@given(transcripts(), RULES)
@LOOSELY
def test_where_there_is_room_a_cue_stands_long_enough_and_a_gap_follows(
    transcript: Transcript, rules: CueRules
) -> None:
    language = language_of(transcript)
    found = cues(transcript, rules)
    shortest, gap = math.ceil(rules.min_cue_seconds * 1000), round(rules.min_gap_seconds * 1000)
    for n, cue in enumerate(found[:-1]):
        room = ms(found[n + 1].start) - ms(cue.start)
        reading = sum(chars(line, language) for line in cue.lines) / rules.chars_per_second(
            language
        )
        wanted = min(max(shortest, reading * 1000), round(rules.max_cue_seconds * 1000))
        stands = ms(cue.end) - ms(cue.start)
        assert stands >= min(wanted, room - gap)
        if room >= 2 * gap:
            assert ms(found[n + 1].start) - ms(cue.end) >= gap


def lines(*found: Cue) -> list[tuple[str, ...]]:
    return [cue.lines for cue in found]


def test_silence_has_no_cues() -> None:
    assert cues(a_transcript(a_ref(), segments=())) == ()
    assert cues(spoken_evenly("", "   ", "\u00a0", "\n\t")) == ()


def test_a_long_sentence_is_divided_at_its_clauses() -> None:
    text = (
        "He tells us that at this festive season of the year, with Christmas and roast beef "
        "looming before us, similes drawn from eating occur most readily to the mind."
    )
    assert lines(*cues(spoken_evenly(text, seconds=11))) == [
        ("He tells us", "that at this festive season of the year,"),
        ("with Christmas", "and roast beef looming before us,"),
        ("similes drawn from eating", "occur most readily to the mind."),
    ]


def test_no_line_ends_with_an_article_or_the_title_of_a_name() -> None:
    text = "I was on my way to the big old house on the hill where the famous Dr. Watson lived then"
    for seconds in (4, 6, 9):
        shown = [line for cue in cues(spoken_evenly(text, seconds=seconds)) for line in cue.lines]
        assert not [line for line in shown if line.split()[-1] in {"the", "a", "my", "Dr.", "of"}]


def test_one_line_is_enough_where_the_text_fits() -> None:
    assert lines(*cues(spoken_evenly("We will be there in five minutes, I think."))) == [
        ("We will be there in five minutes, I think.",)
    ]


def test_sentences_of_two_segments_have_cues_of_their_own() -> None:
    found = cues(spoken_evenly("Where have you been all day?", "I was at the office."))
    assert lines(*found) == [("Where have you been all day?",), ("I was at the office.",)]


def test_sentences_too_short_to_be_read_alone_share_a_cue() -> None:
    found = cues(spoken_evenly("Yes. No. Maybe.", seconds=1.5))
    assert lines(*found) == [("Yes. No. Maybe.",)]


def test_a_new_cue_begins_after_a_pause() -> None:
    found = cues(spoken_evenly("I came in", "and saw him.", seconds=1, pause=3))
    assert lines(*found) == [("I came in",), ("and saw him.",)]


def test_long_segments_without_words_are_divided_by_characters() -> None:
    sentence = "This is a sentence of some forty characters."
    found = cues(spoken_evenly(" ".join([sentence] * 8), seconds=30))
    assert len(found) == 8
    for n, cue in enumerate(found):
        assert cue.start == pytest.approx(n * 30 / 8, abs=0.7)


def test_words_tell_when_a_cue_begins() -> None:
    words = (
        Word(word=" First.", start=0.5, end=1.0, probability=1),
        Word(word=" Second", start=7.0, end=7.4, probability=1),
        Word(word=" one.", start=7.4, end=8.0, probability=1),
    )
    segment = Segment(id=0, seek=0, start=0.5, end=8, text=" First. Second one.", words=words)
    found = cues(a_transcript(a_ref(), segments=(segment,)))
    assert [(cue.start, cue.text) for cue in found] == [(0.5, "First."), (7.0, "Second one.")]


def test_text_that_its_words_lack_is_kept() -> None:
    words = (Word(word=" Hello", start=1.0, end=1.5, probability=1),)
    segment = Segment(id=0, seek=0, start=1, end=2, text=" (music) Hello, you!", words=words)
    assert cues(a_transcript(a_ref(), segments=(segment,)))[0].text == "(music) Hello, you!"


def test_a_few_words_in_a_long_segment_stay_together() -> None:
    found = cues(spoken_evenly("Thank you very much.", seconds=29))
    assert lines(*found) == [("Thank you very much.",)]
    assert (found[0].start, found[0].end) == (0, 7)


def test_a_segment_whose_time_is_mad_does_not_move_the_others() -> None:
    transcript = spoken_evenly("Here is one.", "Here is two.", "Here is three.", "Here is four.")
    segments = list(transcript.segments)
    segments[1] = segments[1].model_copy(update={"start": 5000.0, "end": 5002.0})
    found = cues(transcript.model_copy(update={"segments": tuple(segments)}))
    assert [cue.start for cue in found] == [0, 2, 4, 6]


def test_chinese_and_japanese_have_lines_of_their_own_length() -> None:
    chinese = "我们今天要讲的是一个非常有趣的故事，它发生在很久以前的一个小村庄里。"
    for cue in cues(spoken_evenly(chinese, seconds=9, language="zh")):
        assert max(len(line) for line in cue.lines) <= 16
    japanese = "昨日は友達と一緒に東京タワーに行って、コンピューターを買いました。"
    shown = [
        line
        for cue in cues(spoken_evenly(japanese, seconds=9, language="ja"))
        for line in cue.lines
    ]
    assert max(len(line) for line in shown) <= 13
    for word in ("友達", "東京", "コンピューター"):
        assert any(word in line for line in shown)


def test_no_line_of_a_script_without_spaces_begins_with_its_punctuation() -> None:
    text = "「これは、とても長い文章です。」と彼は言った。しかし、誰も聞いていなかった！" * 3
    for limit in range(4, 14):
        rules = CueRules(max_line_chars=limit)
        for cue in cues(spoken_evenly(text, seconds=30, language="ja"), rules):
            for line in cue.lines:
                assert line[0] not in "、。」！っー"
                assert line[-1] != "「"


def test_a_translation_has_the_rules_of_english() -> None:
    text = "This is what was said in Japanese, and English now."
    found = cues(spoken_evenly(text, seconds=4, language="ja", task="translate"))
    assert lines(*found) == [("This is what was said in Japanese,", "and English now.")]


def test_the_options_are_kept() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    found = cues(spoken_evenly(text, seconds=20), CueRules(max_line_chars=20, max_lines=1))
    assert all(len(cue.lines) == 1 and len(cue.lines[0]) <= 20 for cue in found)
    slow = cues(spoken_evenly("Eight chars"), CueRules(max_chars_per_second=2))
    assert ms(slow[0].end) == 5500


@pytest.mark.parametrize(
    "fields",
    [
        {"max_line_chars": 3},
        {"max_lines": 0},
        {"max_lines": 5},
        {"max_cue_seconds": 0.5},
        {"min_cue_seconds": -1},
        {"max_chars_per_second": 0},
        {"max_chars_per_second": math.nan},
        {"min_cue_seconds": 3, "max_cue_seconds": 2},
    ],
)
def test_rules_that_nobody_could_keep_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        CueRules.model_validate(fields)

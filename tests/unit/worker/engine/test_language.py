"""What language a recording is in, by what the model hears in its first windows."""

import pytest

from tests.unit.worker.engine.scripted import a_window, an_answer, converse
from whisperdrop_worker.engine.attempts import listen
from whisperdrop_worker.engine.language import decide
from whisperdrop_worker.engine.recognizer import FULL_S, Answer
from whisperdrop_worker.engine.windows import Window


def heard(speech_s: float, **languages: float) -> tuple[Window, Answer]:
    ranked = tuple(sorted(languages.items(), key=lambda one: -one[1]))
    return a_window(10, speech_s=speech_s), an_answer(language=ranked[0][0], languages=ranked)


def test_a_window_is_as_sure_as_the_model() -> None:
    found = decide([heard(5, de=0.75, nl=0.25)])

    assert found.code == "de"
    assert found.probability == pytest.approx(0.75)


def test_windows_weigh_as_much_as_is_said_in_them() -> None:
    found = decide([heard(1, en=0.9, es=0.1), heard(8, es=0.8, en=0.2)])

    assert found.code == "es"
    assert found.probability == pytest.approx((1.1 * 0.1 + 8.1 * 0.8) / 9.2, abs=0.01)


def test_many_a_doubt_outweighs_one_certainty() -> None:
    found = decide([heard(3, pt=1.0), heard(3, es=0.6, pt=0.4), heard(3, es=1.0)])

    assert found.code == "es"


def test_where_nobody_is_sure_to_speak_every_window_counts_alike() -> None:
    found = decide([heard(0, fr=0.9), heard(0, fr=0.7, en=0.3)])

    assert found.code == "fr"
    assert found.probability == pytest.approx(0.8)


def test_detection_asks_for_the_language_and_nothing_else() -> None:
    window = a_window(10)
    answer = an_answer(languages=(("it", 1.0),))

    [ask], found = converse(listen(window), answer)

    assert ask.detect_only
    assert ask.prompt.language is None
    assert (ask.audio is window.audio, ask.encoded_s) == (True, FULL_S)
    assert found is answer

"""How often requests that wait look at the store."""

from contextlib import ExitStack

import pytest

from whisperdrop_api.looks import Looks


def test_who_waits_alone_looks_often_and_ever_less() -> None:
    looks = Looks()
    with looks.waiting():
        pauses = [looks.pause_s(waited_s) for waited_s in (0.0, 1.0, 5.0, 20.0, 600.0)]

    assert pauses == pytest.approx([0.025, 0.025, 0.1, 0.4, 1.0])


@pytest.mark.parametrize(("many", "looks_a_second"), [(1, 40), (8, 40), (32, 40), (500, 500)])
def test_many_look_no_more_often_together_than_one_alone_or_each_once_a_second(
    many: int, looks_a_second: float
) -> None:
    looks = Looks()
    with ExitStack() as crowd:
        for _ in range(many):
            crowd.enter_context(looks.waiting())

        assert many / looks.pause_s(0.0) == pytest.approx(looks_a_second)

    with looks.waiting():
        assert looks.pause_s(0.0) == 0.025, "those that have gone count no more"


def test_beside_others_nobody_looks_much_before_anybody_had_an_answer_lately() -> None:
    looks = Looks()
    for waited_s in (3.0, 0.5, 2.0):
        looks.came(waited_s)
    with looks.waiting():
        assert looks.pause_s(0.0) == 0.025, "alone, there is nobody to wait for"
        with looks.waiting():
            pauses = [looks.pause_s(waited_s) for waited_s in (0.0, 0.3, 0.4, 4.0)]

    assert pauses == pytest.approx([0.4, 0.1, 0.05, 0.08])


def test_waits_that_get_shorter_are_found_out() -> None:
    looks = Looks()
    for _ in range(16):
        looks.came(10.0)
    with looks.waiting(), looks.waiting():
        for _ in range(200):  # answers are there at once
            looks.came(looks.pause_s(0.0))
        assert looks.pause_s(0.0) == pytest.approx(0.05)

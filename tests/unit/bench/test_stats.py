import pytest

from bench.stats import in_turns, median_ratio, percentile


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([3.0], 95, 3.0),
        ([4.0, 1.0, 3.0, 2.0], 50, 2.5),
        ([4.0, 1.0, 3.0, 2.0], 0, 1.0),
        ([4.0, 1.0, 3.0, 2.0], 100, 4.0),
        ([float(n) for n in range(101)], 95, 95.0),
    ],
)
def test_a_percentile_lies_between_its_neighbours(
    values: list[float], percent: float, expected: float
) -> None:
    assert percentile(values, percent) == pytest.approx(expected)


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_a_round_in_which_all_were_slow_does_not_change_the_ratio() -> None:
    assert median_ratio([10.0, 100.0, 10.0], [5.0, 50.0, 5.0]) == 2.0


def test_the_ratio_is_of_the_same_round_and_not_of_two_medians() -> None:
    theirs, ours = [10.0, 20.0, 90.0], [10.0, 40.0, 30.0]

    assert median_ratio(theirs, ours) == 1.0  # of 1, 0.5, 3; the medians would say 2/3


def test_rounds_of_different_length_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="shorter"):
        median_ratio([1.0, 2.0], [1.0])


def test_everybody_has_a_turn_in_each_round_and_nobody_is_always_first() -> None:
    turns = list(in_turns("abc", 3))

    assert [entry for _, entry in turns] == list("abcbcacab")
    assert [number for number, _ in turns] == [0, 0, 0, 1, 1, 1, 2, 2, 2]

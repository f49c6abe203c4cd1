import pytest

from tests.lanes import LANES, REQUIRED, lane, required_lanes


def test_an_available_lane_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRED, "emulator")
    lane("emulator", True, "it is there")


def test_a_lane_that_is_not_available_is_skipped_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(REQUIRED, "sam")
    with pytest.raises(pytest.skip.Exception, match="emulator: there is no emulator"):
        lane("emulator", None, "there is no emulator")


def test_a_required_lane_that_is_not_available_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRED, " sam , emulator ")
    with pytest.raises(pytest.fail.Exception, match="required here, but there is no emulator"):
        lane("emulator", False, "there is no emulator")


def test_without_the_variable_no_lane_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRED, raising=False)
    assert required_lanes() == frozenset()
    monkeypatch.setenv(REQUIRED, ",".join(LANES))
    assert required_lanes() == LANES.keys()


def test_a_lane_that_does_not_exist_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="is no lane"):
        lane("emulatr", True, "")
    monkeypatch.setenv(REQUIRED, "emulatr")
    with pytest.raises(ValueError, match="names no lane: emulatr"):
        required_lanes()

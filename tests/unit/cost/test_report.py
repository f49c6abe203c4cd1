"""What `make cost` prints and writes, and that its page says the same."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from whisperdrop_cost.__main__ import main
from whisperdrop_cost.figures import load
from whisperdrop_cost.plot import svg


def test_it_prints_every_table_with_sources_and_dates(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0

    printed = capsys.readouterr().out
    assert "One file of 10 minutes a day" in printed
    assert "100 files of 10 minutes a day" in printed
    assert "1,000 h a day in one batch" in printed
    assert "A worker that never sleeps" in printed
    assert "From how many hours of audio a day" in printed
    for figure in load().all:
        assert figure.origin in printed, figure.name
    # Speeds that nobody measured say so beside the machine.
    assert re.search(r"g5\.xlarge, large-v3-turbo, 40x assumed", printed)


def test_the_page_shows_what_the_program_prints(
    capsys: pytest.CaptureFixture[str], project_root: Path
) -> None:
    main([])

    page = (project_root / "docs" / "cost.md").read_text()
    assert capsys.readouterr().out in page, (
        "run: .venv/bin/python -m whisperdrop_cost --page docs/cost.md"
    )
    assert svg(load()) == (project_root / "docs" / "cost.svg").read_text()


def test_figures_of_yours_change_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--instance", "g6.xlarge", "--speed", "100", "--price", "0.5"]
    assert main([*arguments, "--files", "30", "--set", "gpu.idle_exit_s=60"]) == 0

    printed = capsys.readouterr().out
    assert "Yours: 30 files of 10 minutes a day" in printed
    assert "g6.xlarge, large-v3-turbo, 100x " in printed
    assert "g5.xlarge, large" not in printed
    assert "given on the command line" in printed


@pytest.mark.parametrize(
    ("given", "complaint"), [("speed.g7=1", "no figure speed.g7"), ("ipv4", "NAME=VALUE")]
)
def test_a_figure_that_is_none_is_refused(
    given: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--set", given]) == 2

    assert complaint in capsys.readouterr().err


def test_it_writes_data_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, picture = tmp_path / "out" / "cost.json", tmp_path / "out" / "cost.svg"
    assert main(["--json", str(data), "--plot", str(picture)]) == 0

    found = json.loads(data.read_text())
    assert len(found["scenarios"]) == 4
    one_file = {row["runner"]["label"]: row for row in found["scenarios"][0]["runners"]}
    assert one_file["g5.xlarge"]["usd_per_audio_h"] > 1  # honest about one file a day
    assert found["break_even_audio_h_per_day"]["g5.xlarge"]["hosted.whisper-1"] < 5
    root = ET.parse(picture).getroot()  # noqa: S314 - ours
    assert sum(1 for _ in root.iter("{http://www.w3.org/2000/svg}polyline")) == 8

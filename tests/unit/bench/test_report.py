import json
from pathlib import Path
from xml.etree import ElementTree

from bench.report import Bar, Chart, Section, Table, aligned, svg, write

SVG = "{http://www.w3.org/2000/svg}"
CHART = Chart(
    "speed & <more>",
    [Bar("theirs", 1.0), Bar('ours, "new"', 5.5, ours=True), Bar("nothing", 0.0)],
    " x",
)


def test_names_stand_to_the_left_and_figures_to_the_right() -> None:
    assert aligned([("", "s"), ("longer", "1.25"), ("b", "12.50")]) == [
        "            s",
        "longer   1.25",
        "b       12.50",
    ]


def test_a_table_has_a_title_and_a_note() -> None:
    table = Table("speed", ("", "s"), [("a", "1")], "in seconds")

    assert str(table).splitlines() == ["speed", "     s", "  a  1", "  in seconds"]


def test_a_picture_is_well_formed_and_has_a_bar_for_each_value() -> None:
    root = ElementTree.fromstring(svg([CHART, CHART]))  # noqa: S314 - our own

    bars = root.findall(f"{SVG}rect")
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert root.tag == f"{SVG}svg"
    assert len(bars) == 6
    assert "speed & <more>" in texts
    assert "5.5 x" in texts


def test_the_longest_bar_fits_and_the_others_are_in_proportion() -> None:
    root = ElementTree.fromstring(svg([CHART]))  # noqa: S314 - our own

    widths = [float(bar.attrib["width"]) for bar in root.findall(f"{SVG}rect")]
    assert widths[1] < float(root.attrib["width"])
    assert abs(widths[1] / widths[0] - 5.5) < 0.01


def test_no_charts_and_empty_charts_are_pictures_too() -> None:
    for charts in ([], [Chart("nothing", [])]):
        ElementTree.fromstring(svg(charts))  # noqa: S314 - our own


def test_a_run_leaves_json_and_a_picture(tmp_path: Path) -> None:
    section = Section("speed", [], {"wall_s": [1.5]}, [CHART])

    numbers, picture = write("bench", [section], about={"rounds": 3}, folder=tmp_path)

    content = json.loads(numbers.read_text())
    assert content["sections"] == {"speed": {"wall_s": [1.5]}}
    assert content["rounds"] == 3
    assert content["machine"]["cores"] >= 1
    assert picture.suffix == ".svg"


def test_a_run_without_charts_leaves_no_picture(tmp_path: Path) -> None:
    assert len(write("bench", [Section("cold", [], {})], about={}, folder=tmp_path)) == 1

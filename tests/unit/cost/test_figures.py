"""No figure without an origin, and no price without its page and its date."""

import re
from pathlib import Path

import pytest

from whisperdrop_cost.figures import FigureError, load, parse

PRICE = {
    "kind": "price",
    "value": 1.0,
    "unit": "USD/h",
    "what": "a machine",
    "source": "https://example.com/prices",
    "dated": "2026-08-31",
}


def test_every_price_names_its_page_and_when_it_said_so() -> None:
    prices = [figure for figure in load().all if figure.kind == "price"]

    # The services compared with, the machines and their fee must never become guesses.
    assert {figure.name for figure in prices} >= {
        *("g4dn.xlarge", "g5.xlarge", "g6.xlarge"),
        *("managed_instances.example_fee", "managed_instances.example_instance"),
        *("hosted.transcribe", "hosted.whisper-1", "hosted.deepgram", "hosted.groq"),
        *("lambda.gb_second", "lambda.request", "http_api.request", "sqs.request", "logs.gb"),
    }
    for figure in prices:
        assert figure.source.startswith("https://"), figure.name
        assert re.fullmatch(r"20\d\d(-[01]\d(-[0-3]\d)?)?", figure.dated), figure.name


def test_what_nobody_found_or_measured_says_why_it_is_taken() -> None:
    assumed = [figure for figure in load().all if figure.kind == "assumption"]

    assert all(figure.why for figure in assumed)
    # Nobody has run this on those machines.
    assert {"speed.g4dn", "speed.g5", "speed.g6", "gpu.start_s"} <= {f.name for f in assumed}


def test_settings_are_those_of_the_templates(project_root: Path) -> None:
    figures = load()
    settings = [figure for figure in figures.all if re.fullmatch(r"\S+\.yaml, \w+", figure.source)]

    assert len(settings) >= 4
    for figure in settings:
        path, _, name = figure.source.partition(", ")
        found = re.search(
            rf"^  {name}:\n(?:    .*\n)*?    Default: (\d+)$",
            (project_root / path).read_text(),
            re.MULTILINE,
        )
        assert found, f"{path} has no parameter {name} with a default"
        assert float(found[1]) == figure.value, figure.name


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"source": ""}, "has no 'source'"),
        ({"source": "a colleague"}, "https address"),
        ({"dated": ""}, "when its source said so"),
        ({"dated": "last summer"}, "when its source said so"),
        ({"kind": "assumption"}, "say 'why'"),
        ({"kind": "guess"}, "is no kind"),
        ({"kind": "yours"}, "is no kind"),
        ({"value": -1}, "'value' must be"),
        ({"value": "1"}, "'value' must be"),
        ({"sauce": "x"}, "unknown fields: sauce"),
    ],
)
def test_a_figure_without_its_origin_is_refused(change: dict[str, object], complaint: str) -> None:
    parse("machine", PRICE)

    with pytest.raises(FigureError, match=complaint):
        parse("machine", PRICE | change)


def test_a_figure_of_yours_is_shown_as_yours() -> None:
    figures = load().with_yours({"g5.xlarge": 0.8})

    assert figures["g5.xlarge"] == 0.8
    assert figures.kind("g5.xlarge") == "yours"
    with pytest.raises(FigureError, match=r"no figure g9\.xlarge"):
        load().with_yours({"g9.xlarge": 1})

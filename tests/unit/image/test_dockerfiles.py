"""What every builder must be able to read, and what nobody may forget."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
IMAGES = [ROOT / "docker/worker.Dockerfile", ROOT / "docker/api.Dockerfile"]


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_instructions_are_those_that_every_builder_knows(image: Path) -> None:
    text = image.read_text()

    assert not re.search(r"--mount|--chmod|--link|^# *syntax|<<|--platform", text, re.MULTILINE)
    assert "apt" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE).split()
    assert "torch" not in text
    assert re.search(r"^ARG BASE_IMAGE=\S+:\S+$", text, re.MULTILINE), "the base is pinned by tag"


def test_the_targets_end_with_cuda_so_that_no_builder_makes_it_for_cpu() -> None:
    """The classic builder, which SAM uses too, builds all stages up to its target."""
    stages = re.findall(r"^FROM \S+ AS (\S+)$", IMAGES[0].read_text(), re.MULTILINE)

    assert stages.index("cpu") < stages.index("cuda-packages") < stages.index("cuda")
    assert stages[-1] == "cuda"


def test_whoever_builds_the_worker_says_which_target() -> None:
    """Half a gigabyte for nothing otherwise."""
    builders = [ROOT / "template.yaml", *ROOT.glob("docker/*.yaml"), *ROOT.glob("docs/*.md")]
    naming = re.compile(r"^.*worker\.Dockerfile(?:.*\n.*){2}", re.MULTILINE)
    places = [(path.name, m[0]) for path in builders for m in naming.finditer(path.read_text())]

    built = [place for place in places if re.search(r"ockerfile:|-f docker", place[1])]
    assert len(built) >= 2
    assert [place for place in built if not re.search(r"target[ :=]|BuildTarget:", place[1])] == []

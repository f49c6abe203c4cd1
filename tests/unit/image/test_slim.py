import re
from pathlib import Path

from whisperdrop_image.slim import AWS_SERVICES, slim

ROOT = Path(__file__).resolve().parents[3]
_CLIENT = re.compile(r"""\.client\(\s*["']([a-z0-9-]+)["']""")


def _file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def test_what_only_developers_read_goes_and_the_package_stays(tmp_path: Path) -> None:
    kept = {_file(tmp_path / name) for name in ("a/__init__.py", "a/testing/x.py", "a/x.json")}
    for name in ("tests/test_x.py", "x.pyi", "__pycache__/x.pyc", "x.h"):
        _file(tmp_path / "a" / name)
    _file(tmp_path / "b-1.dist-info/RECORD")

    slim(tmp_path)

    assert {path for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_of_the_descriptions_of_aws_those_stay_that_are_asked(tmp_path: Path) -> None:
    data = tmp_path / "botocore/data"
    for name in ("s3/service.json.gz", "ec2/service.json.gz", "endpoints.json"):
        _file(data / name)

    slim(tmp_path)

    assert {path.name for path in data.iterdir()} == {"s3", "endpoints.json"}


def test_every_service_that_an_image_asks_is_one_of_them() -> None:
    folders = (ROOT / "layers/core", ROOT / "functions", ROOT / "docker")
    sources = [path for folder in folders for path in folder.rglob("*.py")]

    asked = {name for path in sources for name in _CLIENT.findall(path.read_text())}

    assert {"s3", "sqs"} <= asked <= AWS_SERVICES

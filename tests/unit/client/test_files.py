"""Which recordings are meant, where their transcripts go, and what is remembered of them."""

import io
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from whisperdrop_client.command.inputs import Input, InputError, find
from whisperdrop_client.command.outputs import OutputError, plan, write
from whisperdrop_client.command.state import Identity, Memory, cache_folder, forget_old


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "talks"
    for name in ("b.mp3", "a.WAV", "notes.txt", ".hidden.mp3", "more/c.flac", ".git/d.mp3"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def names(found: list[Input]) -> list[str]:
    return [item.path.name for item in found]


def test_a_folder_means_its_recordings_in_order(folder: Path, tmp_path: Path) -> None:
    assert names(find([str(folder)], recursive=False, spool=tmp_path)) == ["a.WAV", "b.mp3"]


def test_recursive_means_the_folders_in_it_too_but_no_hidden_ones(
    folder: Path, tmp_path: Path
) -> None:
    found = find([str(folder)], recursive=True, spool=tmp_path)
    assert names(found) == ["a.WAV", "b.mp3", "c.flac"]
    assert found[2].below == Path("more")


def test_a_file_that_is_named_twice_is_done_once(folder: Path, tmp_path: Path) -> None:
    twice = [str(folder / "b.mp3"), str(folder), str(folder / "notes.txt")]
    assert names(find(twice, recursive=False, spool=tmp_path)) == ["b.mp3", "a.WAV", "notes.txt"]


@pytest.mark.parametrize(
    ("argument", "says"),
    [("missing.mp3", "missing.mp3: No such file"), ("empty", "no recordings"), ("pipe", "neither")],
)
def test_what_cannot_be_an_input_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=says):
        find([argument], recursive=False, spool=tmp_path)


def test_standard_input_is_kept_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"RIFF")))
    (item,) = find(["-"], recursive=False, spool=tmp_path)
    assert item.path.read_bytes() == b"RIFF"
    assert (item.name, item.content_type) == ("stdin", "audio/unknown")
    assert plan([item], ["srt"], "out") == [{"srt": Path("out/stdin.srt")}]


def test_transcripts_lie_beside_their_recordings_or_below_the_folder_as_they_did(
    folder: Path, tmp_path: Path
) -> None:
    found = find([str(folder)], recursive=True, spool=tmp_path)

    beside = plan(found, ["srt", "verbose_json"], None)
    below = plan(found, ["srt"], "out")

    assert beside[2]["srt"] == folder / "more/c.srt"
    assert beside[2]["verbose_json"] == folder / "more/c.verbose.json"
    assert [target["srt"] for target in below] == [
        Path("out/a.srt"),
        Path("out/b.srt"),
        Path("out/more/c.srt"),
    ]


def test_recordings_of_one_name_keep_their_extensions(tmp_path: Path) -> None:
    inputs = [Input(Path("x/a.mp3"), "x/a.mp3"), Input(Path("x/a.wav"), "x/a.wav")]
    assert plan(inputs, ["txt"], None) == [
        {"txt": Path("x/a.mp3.txt")},
        {"txt": Path("x/a.wav.txt")},
    ]


def test_two_recordings_for_one_file_are_refused(tmp_path: Path) -> None:
    inputs = [Input(Path("x/a.mp3"), "x/a.mp3"), Input(Path("y/a.mp3"), "y/a.mp3")]
    with pytest.raises(OutputError, match=r"x/a.mp3 and y/a.mp3"):
        plan(inputs, ["txt"], "out")


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "new" / "a.txt"
    write(target, "one\r\ntwo", force=False)
    assert target.read_bytes() == b"one\r\ntwo"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(target, "three", force=True)
    assert target.read_bytes() == b"one\r\ntwo"
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("links", [True, False])
def test_what_is_there_stays_unless_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError("no hard links here")

    if not links:
        monkeypatch.setattr("os.link", no_links)
    target = tmp_path / "a.txt"
    write(target, "mine", force=False)
    with pytest.raises(FileExistsError):
        write(target, "theirs", force=False)
    assert target.read_text() == "mine"
    write(target, "theirs", force=True)
    assert target.read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_transcript_can_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.txt", "x", force=False)
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


class TestMemory:
    """What is remembered between two calls."""

    @pytest.fixture
    def media(self, tmp_path: Path) -> Path:
        path = tmp_path / "a.wav"
        path.write_bytes(b"RIFF")
        return path

    def memory(self, tmp_path: Path, media: Path, server: str = "http://a") -> Memory:
        return Memory(tmp_path / "cache", server, Identity.of(media))

    def test_the_next_call_goes_on_with_the_same_key(self, tmp_path: Path, media: Path) -> None:
        first = self.memory(tmp_path, media)
        first.hashed("abc")
        key = first.key_for({"size": 4})

        second = self.memory(tmp_path, media)

        assert second.sha256 == "abc"
        assert second.key_for({"size": 4}) == key

    def test_another_request_server_or_job_has_another_key(
        self, tmp_path: Path, media: Path
    ) -> None:
        first = self.memory(tmp_path, media)
        key = first.key_for({"size": 4})
        assert self.memory(tmp_path, media, "http://b").key_for({"size": 4}) != key
        assert self.memory(tmp_path, media).key_for({"size": 4, "language": "en"}) != key
        ended = self.memory(tmp_path, media)
        ended.hashed("abc")
        key = ended.key_for({"size": 4})
        ended.ended()
        assert self.memory(tmp_path, media).key_for({"size": 4}) != key
        assert self.memory(tmp_path, media).sha256 == "abc"

    def test_a_file_that_changed_is_a_new_one(self, tmp_path: Path, media: Path) -> None:
        self.memory(tmp_path, media).hashed("abc")
        os.utime(media, ns=(1, 1))
        assert self.memory(tmp_path, media).sha256 is None

    @pytest.mark.parametrize("content", ["", "[]", "{", json.dumps({"sha256": 1})])
    def test_a_damaged_memory_is_none(self, tmp_path: Path, media: Path, content: str) -> None:
        self.memory(tmp_path, media).hashed("abc")
        (file,) = (tmp_path / "cache" / "files").iterdir()
        file.write_text(content)
        assert self.memory(tmp_path, media).sha256 is None

    def test_a_folder_that_cannot_be_written_costs_only_the_memory(
        self, tmp_path: Path, media: Path
    ) -> None:
        (tmp_path / "cache").write_text("a file")
        memory = self.memory(tmp_path, media)
        memory.hashed("abc")
        assert memory.sha256 == "abc"
        assert memory.key_for({}) == memory.key_for({})

    def test_it_forgets_what_is_older_than_a_month(self, tmp_path: Path, media: Path) -> None:
        self.memory(tmp_path, media).hashed("abc")
        (file,) = (tmp_path / "cache" / "files").iterdir()
        forget_old(tmp_path / "cache")
        assert file.exists()
        old = time.time() - 31 * 24 * 3600
        os.utime(file, (old, old))
        forget_old(tmp_path / "cache")
        assert not file.exists()

    def test_it_lies_where_caches_lie(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
        assert cache_folder() == Path("/caches/whisperdrop")
        monkeypatch.setenv("WHISPERDROP_CACHE_DIR", "/mine")
        assert cache_folder() == Path("/mine")

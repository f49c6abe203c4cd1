import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench import recordings
from bench.recordings import Collection, Recording, by_language, read, sets


def recording(
    name: str, *tags: str, seconds: float = 5.0, language: str | None = "en"
) -> Recording:
    return Recording(Path(name), "text", seconds, language, frozenset(tags))


def collection(*members: Recording) -> Collection:
    return Collection("mine", Path(), members)


def write_manifest(folder: Path, lines: Sequence[dict[str, Any]]) -> None:
    for line in lines:
        (folder / line["file"]).touch()
    text = "\n".join(json.dumps(line) for line in lines)
    (folder / "manifest.jsonl").write_text(text)


def test_a_manifest_says_what_is_in_its_folder(tmp_path: Path) -> None:
    line = {
        "file": "a.flac",
        "text": "so",
        "duration_s": 2.5,
        "language": "de",
        "tags": ["core"],
        "expect": "ok",
    }
    write_manifest(tmp_path, [line])

    assert read(tmp_path, "en").recordings == (
        Recording(tmp_path / "a.flac", "so", 2.5, "de", frozenset({"core"})),
    )


def test_what_has_no_text_no_file_or_no_hope_is_left_out(tmp_path: Path) -> None:
    fine: dict[str, Any] = {"text": "so", "duration_s": 1.0}
    write_manifest(
        tmp_path,
        [
            {"file": "silent.wav", "duration_s": 1.0, "text": None},
            {"file": "corrupt.wav", "expect": "error: undecodable", **fine},
            {"file": "gone.wav", **fine},
            {"file": "fine.wav", **fine},
        ],
    )
    (tmp_path / "gone.wav").unlink()

    assert [one.name for one in read(tmp_path, "en").recordings] == ["fine.wav"]


def test_without_a_manifest_a_text_lies_beside_its_audio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "_duration", lambda _: 3.0)
    (tmp_path / "de").mkdir()
    for name in ("one.WAV", "one.txt", "two.mp3", "de/drei.ogg", "de/drei.txt", "notes.txt"):
        (tmp_path / name).write_text(" said \n")

    found = read(tmp_path, "en").recordings

    assert [(one.name, one.text, one.language) for one in found] == [
        ("drei.ogg", "said", "de"),
        ("one.WAV", "said", "en"),
    ]


def test_speed_is_measured_on_librispeech_clips_where_there_are_some() -> None:
    found = collection(
        recording("other"),
        recording("clip", "librispeech"),
        recording("too long", "librispeech", seconds=26),
    )

    assert [one.name for one in found.clips()] == ["clip"]


def test_else_on_english_and_else_on_what_there_is() -> None:
    german, english = recording("de", language="de"), recording("en")

    assert collection(german, english).clips() == [english]
    assert collection(german).clips() == [german]


def test_the_clip_nearest_to_a_length() -> None:
    found = collection(recording("a", seconds=1), recording("b", seconds=2.8), recording("c"))

    assert found.nearest(3).name == "b"


def test_sets_are_made_by_tag_and_language() -> None:
    found = sets(
        collection(
            recording("a", "core", "librispeech"),
            recording("b", "librispeech", seconds=30),
            recording("c", "multilingual", language="ja"),
            recording("d", "multilingual", language="de"),
            recording("long10.opus", "long", seconds=600),
        )
    )

    assert {name: [one.name for one in members] for name, members in found.items()} == {
        "core": ["a"],
        "librispeech": ["a"],
        "long10": ["long10.opus"],
        "multilingual de": ["d"],
        "multilingual ja": ["c"],
    }


def test_a_folder_without_tags_is_one_set_for_each_language() -> None:
    found = sets(collection(recording("a"), recording("b", language=None), recording("c")))

    assert {name: len(members) for name, members in found.items()} == {"mine en": 3}


def test_languages_are_sorted() -> None:
    members = [recording("a", language="pt"), recording("b", language="de")]

    assert list(by_language(members)) == ["de", "pt"]


def test_the_bundled_recordings_speak_several_languages() -> None:
    found = recordings.bundled_samples()

    assert found.name == "audioeval"
    assert {"en", "ja", "hi"} <= {one.language for one in found.recordings}

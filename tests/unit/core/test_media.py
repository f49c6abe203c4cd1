import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import a_ref
from whisperdrop.domain import keys
from whisperdrop.domain.media import (
    CONTENT_TYPES,
    EXTENSIONS,
    MAX_NAME_BYTES,
    extension_of,
    media_type,
    safe_name,
)
from whisperdrop.errors import InvalidValueError, UnsupportedMediaTypeError


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("speech.mp3", "speech.mp3"),
        ("  speech.mp3 ", "speech.mp3"),
        ("/etc/passwd", "passwd"),
        ("../../a.mp3", "a.mp3"),
        ("C:\\Users\\me\\a.mp3", "a.mp3"),
        ("a\r\nb\x00\x7f.mp3", "ab.mp3"),
        ("имя файла ünï dev 日本.flac", "имя файла ünï dev 日本.flac"),
        ("u\u0308.mp3", "ü.mp3"),
        ("noextension", "noextension"),
        ("dots...mp3", "dots...mp3"),
        ("folder/", "folder"),
    ],
)
def test_a_name_becomes_the_last_part_of_a_key(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize("name", ["", " ", "/", ".", "..", "a/..", "\x00", "\\"])
def test_a_name_of_which_nothing_is_left_is_refused(name: str) -> None:
    with pytest.raises(InvalidValueError, match="needs a name"):
        safe_name(name)


def test_a_long_name_is_cut_before_its_extension_and_between_characters() -> None:
    cut = safe_name("日" * 300 + ".flac")
    assert cut.endswith("日.flac")
    assert MAX_NAME_BYTES - 3 < len(cut.encode()) <= MAX_NAME_BYTES
    assert len(safe_name("日" * 300).encode()) <= MAX_NAME_BYTES


def test_an_endless_extension_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="extension is too long"):
        safe_name("a." + "b" * 300)


@given(st.text())
def test_every_name_is_refused_or_made_safe(name: str) -> None:
    try:
        safe = safe_name(name)
    except InvalidValueError:
        return
    ref = a_ref()
    assert 0 < len(safe.encode()) <= MAX_NAME_BYTES
    assert keys.parse_media_key(keys.upload(ref, safe)) == ref


def test_half_a_surrogate_pair_in_a_name_is_no_crash() -> None:
    assert safe_name("a\ud800.mp3") == "a.mp3"


def test_a_name_cannot_be_a_template_of_a_form_post() -> None:
    # S3 puts the client's file name in place of ${filename}: the object would lie elsewhere.
    assert "${filename}" not in safe_name("${filename}")
    assert "${filename}" not in safe_name("a${filename}.mp3")


@pytest.mark.parametrize("extension", sorted(EXTENSIONS))
def test_every_known_extension_has_a_content_type(extension: str) -> None:
    assert media_type(f"a.{extension}", None) == CONTENT_TYPES[extension]
    assert media_type(f"A.{extension.upper()}", "application/octet-stream").split("/")[0] in {
        "audio",
        "video",
    }


def test_the_formats_that_were_promised_are_read() -> None:
    promised = "mp3 wav m4a ogg oga opus flac webm mp4 mov mkv mpeg mpga aac aiff".split()  # noqa: SIM905
    assert set(promised) <= EXTENSIONS


def test_the_callers_own_content_type_is_kept() -> None:
    assert media_type("a.mp3", "audio/x-mp3") == "audio/x-mp3"
    assert media_type("a.ogg", "audio/ogg; codecs=opus") == "audio/ogg; codecs=opus"


@pytest.mark.parametrize("content_type", ["audio/mpeg", "video/mp4", "AUDIO/mpeg"])
def test_without_an_extension_the_content_type_decides(content_type: str) -> None:
    assert media_type("recording", content_type) == content_type


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("notes.pdf", None),
        ("notes.pdf", "audio/mpeg"),
        ("recording", None),
        ("recording", "text/html"),
        ("recording", "application/octet-stream"),
        (".mp3", None),
        ("a.m3u8", None),
    ],
)
def test_what_is_no_audio_by_name_and_type_is_refused(name: str, content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="flac"):
        media_type(name, content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        "audio",
        "audio/",
        "/mpeg",
        "audio/mpeg\n",
        "audio/mpeg\r\nX-Evil: 1",
        "audio/mpeg;\r\n x=y",
        "audio/mpeg; x=\x00",
        "audio/mpeg; x=é",
        "audio/mpeg, text/html",
        "aud\u0131o/mpeg",
        "audio/mpeg;",
    ],
)
def test_a_malformed_content_type_is_refused_before_it_is_signed(content_type: str) -> None:
    with pytest.raises(InvalidValueError, match="not a content type"):
        media_type("a.mp3", content_type)


@pytest.mark.parametrize(
    ("name", "extension"),
    [("a.MP3", "mp3"), ("a.b.wav", "wav"), ("a", ""), (".mp3", ""), ("x/y.flac", "flac")],
)
def test_an_extension_is_lower_case_and_without_its_dot(name: str, extension: str) -> None:
    assert extension_of(name) == extension

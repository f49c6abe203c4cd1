import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel

from whisperdrop_worker.engine.vocabulary import token_bytes

_written = ByteLevel(add_prefix_space=False, use_regex=False)


@given(st.text())
def test_an_entry_is_read_back_as_the_bytes_that_it_was_written_from(text: str) -> None:
    entries = [entry for entry, _ in _written.pre_tokenize_str(text)]
    assert b"".join(token_bytes(entry) for entry in entries) == text.encode()


@pytest.mark.parametrize(
    ("entry", "said"),
    [("\u0120Hello", b" Hello"), ("\u010a", b"\n"), ("\u00e6\u0139", b"\xe6\x97")],
)
def test_spaces_and_parts_of_characters_are_bytes_like_others(entry: str, said: bytes) -> None:
    assert token_bytes(entry) == said

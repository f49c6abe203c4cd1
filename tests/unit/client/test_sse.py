"""Server-sent events in pieces of any size."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperdrop_client.sse import EventParser, ServerEvent


def parse(*pieces: bytes) -> list[ServerEvent]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [("message", "a", "")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "")]),
        (b"event: x\ndata: a\ndata: b\n\n", [("x", "a\nb", "")]),
        (b"data:a\rdata\rdata: b\r\r", [("message", "a\n\nb", "")]),
        (b"data:  two spaces\r\n\r\n", [("message", " two spaces", "")]),
        (b": comment\n\ndata: a\n\n", [("message", "a", "")]),
        (b"event: x\n\ndata: a\n\n", [("message", "a", "")]),
        (b"id: 7\ndata: a\n\ndata: b\n\n", [("message", "a", "7"), ("message", "b", "7")]),
        (b"id: 7\ndata: a\n\nid\ndata: b\n\n", [("message", "a", "7"), ("message", "b", "")]),
        (b"id: 1\0\ndata: a\n\n", [("message", "a", "")]),
        (b"data: never finished", []),
        (b"data: never dispatched\n", []),
        (b"unknown: x\ndata: a\n\n", [("message", "a", "")]),
        ("data: grüße\n\n".encode(), [("message", "grüße", "")]),
        (b"data: \xff\n\n", [("message", "\ufffd", "")]),
    ],
)
def test_the_standards_rules(stream: bytes, expected: list[tuple[str, str, str]]) -> None:
    assert [(e.type, e.data, e.last_id) for e in parse(stream)] == expected


_STREAM = (
    '\ufeffevent: job\r\nid: 1\r\ndata: {"ä": 1}\r\n\r\n: keep-alive\r\rdata: x\rdata: y\r\r'
    "retry: 250\n\nid: 2\ndata: 🎧\n\ndata: tail\n\n"
).encode()


@given(st.lists(st.integers(0, len(_STREAM)), max_size=12))
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(_STREAM)]
    pieces = [_STREAM[a:b] for a, b in itertools.pairwise(edges)]
    assert parse(*pieces) == parse(_STREAM)


def test_the_pause_before_a_new_connection_is_the_servers() -> None:
    parser = EventParser()
    parser.feed(b"retry: 250\nretry: soon\n\n")
    assert parser.retry_s == 0.25

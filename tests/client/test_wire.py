"""HTTP/1.1 from bytes, however they arrive."""

from __future__ import annotations

import itertools
import json

import pytest
from backstay.client import wire
from backstay.errors import ApiError, BadAnswer
from hypothesis import given
from hypothesis import strategies as st


def read(data: bytes, cuts: list[int], *, close: bool = False) -> tuple[int, bytes, bool]:
    """Feed `data` in the pieces that `cuts` makes of it."""
    response, body = wire.Response(), b""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        if end > start:
            body += response.feed(data[start:end])
    if close:
        response.feed(b"")
    return response.status, body, response.done


def chunked(parts: list[bytes]) -> bytes:
    body = b"".join(f"{len(part):x};ext=1\r\n".encode() + part + b"\r\n" for part in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


cuts = st.lists(st.integers(0, 10_000), max_size=30)


@given(parts=st.lists(st.binary(min_size=1, max_size=60), max_size=6), cuts=cuts)
def test_chunks_are_put_together_however_they_are_cut(parts: list[bytes], cuts: list[int]) -> None:
    assert read(chunked(parts), cuts) == (200, b"".join(parts), True)


@given(body=st.binary(max_size=200), cuts=cuts)
def test_a_body_of_known_length_ends_by_itself(body: bytes, cuts: list[int]) -> None:
    head = (
        f"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    )
    assert read(head + body, cuts)[:2] == (404, body)


@given(body=st.binary(max_size=200), cuts=cuts)
def test_a_body_without_a_length_ends_with_the_connection(body: bytes, cuts: list[int]) -> None:
    assert read(b"HTTP/1.1 200 OK\r\n\r\n" + body, cuts, close=True) == (200, body, True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
def test_an_answer_that_ends_too_early_is_not_taken_for_whole(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        read(data, [], close=True)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x" * (wire.MAX_HEAD + 1),
    ],
)
def test_what_is_not_http_is_refused(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        read(data, [])


@given(
    lines=st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=8), cuts=cuts
)
def test_lines_are_whole_however_they_arrive(lines: list[bytes], cuts: list[int]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    splitter, found = wire.Lines(), []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        found += splitter.feed(data[start:end])
    assert found == lines


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    splitter = wire.Lines(limit=100)
    splitter.feed(b"x" * 100)
    with pytest.raises(BadAnswer):
        splitter.feed(b"x")


def test_server_events_are_told_by_their_data_and_comments_are_left_out() -> None:
    events = wire.ServerEvents()
    assert events.feed(b": hello\nid: 1\nevent: message\ndata: {\r\ndata: }\r\n") == []
    assert events.feed(b"\r\ndata:x\n\n\n") == [b"{\n}", b"x"]


def test_an_error_of_the_api_becomes_an_exception_with_its_hint() -> None:
    body = json.dumps({"error": {"what": "no", "where": "body.stack", "hint": "yes"}}).encode()
    with pytest.raises(ApiError) as raised:
        wire.read_json(409, body)
    error = raised.value
    assert (str(error), error.where, error.hint, error.status) == ("no", "body.stack", "yes", 409)


def test_an_error_that_is_not_of_the_api_is_shown_as_it_is() -> None:
    with pytest.raises(BadAnswer, match='HTTP 502: "bad gateway"'):
        wire.read_json(502, b'"bad gateway"')
    with pytest.raises(BadAnswer, match="not JSON"):
        wire.read_json(200, b"<html>")

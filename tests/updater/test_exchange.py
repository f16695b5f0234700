"""Answers as they come over a socket: the usual ones are read, anything else is left to others."""

import contextlib
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from updater.exchange import MAX_ANSWER_BYTES, MAX_HEAD_BYTES, Answer, Exchange, UnusualError
from updater.exchange import request as written

GET = written("GET", "mirror.example", "/r/site", {}, b"")
TOO_LONG = MAX_ANSWER_BYTES + 1


def ask(*pieces: bytes) -> Answer:
    """Ask; the other side hears it, sends pieces and hangs up."""
    ours, theirs = socket.socketpair()
    exchange = Exchange(ours)

    def answer() -> None:
        with theirs, contextlib.suppress(ConnectionError):
            assert theirs.recv(len(GET)) == GET
            for piece in pieces:
                theirs.sendall(piece)

    other = threading.Thread(target=answer)
    other.start()
    try:
        return exchange.ask(GET, max_seconds=60)
    finally:
        exchange.close()
        other.join()


def test_a_body_of_a_told_length_is_read() -> None:
    answer = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nRetry-After:  7 \r\n\r\nabc")
    assert (answer.status, answer.body, answer.is_last) == (200, b"abc", False)
    assert answer.headers["retry-after"] == "7"


def test_a_body_in_chunks_is_read() -> None:
    head = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = ask(head + b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n")
    assert (answer.status, answer.body, answer.is_last) == (404, b"abc0123456789", False)


def test_two_answers_come_over_one_connection() -> None:
    first = b"HTTP/1.1 204 No Content\r\n\r\n"
    ours, theirs = socket.socketpair()
    exchange = Exchange(ours)
    with theirs:
        theirs.sendall(first)
        assert not exchange.ask(GET, max_seconds=60).is_last
        theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert exchange.ask(GET, max_seconds=60).body == b"ok"
    exchange.close()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", id="an older server"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\na", id="it says so"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK", id="more came"
        ),
    ],
)
def test_after_such_an_answer_the_connection_is_not_used_again(answer: bytes) -> None:
    assert ask(answer).is_last


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200", id="a cut head"),
        pytest.param(b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", id="another version"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="an interim answer"),
        pytest.param(b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n", id="a signed status"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nas long as it lasts", id="no length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", id="a cut body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", id="two lengths"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\na", id="a hexadecimal length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\na", id="a negative length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\na", id="a space before the colon"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n Content-Length: 1\r\n\r\na", id="a folded line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\nX: y\r\n\r\na", id="a bare line feed"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="a length and chunks",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            id="a coding that is unknown",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n",
            id="a chunk's extension",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            id="a chunk that does not end",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n",
            id="a trailer",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
            id="chunks that do not end",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % TOO_LONG + b"x" * TOO_LONG,
            id="a body that is too long",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * TOO_LONG,
            id="too many chunks",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"Content-Length: 0\r\n\r\n",
            id="too many headers",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 3 * MAX_HEAD_BYTES, id="a head without an end"
        ),
    ],
)
def test_what_is_not_a_usual_answer_is_not_read(answer: bytes) -> None:
    with pytest.raises(UnusualError):
        ask(answer)


def test_an_answer_may_come_byte_by_byte() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole = head + b"3\r\nabc\r\n0\r\n\r\n"
    assert ask(*(bytes([byte]) for byte in whole)).body == b"abc"


@given(st.binary(max_size=300), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n"]))
def test_whatever_a_server_sends_is_an_answer_or_unusual(noise: bytes, begin: bytes) -> None:
    try:
        answer = ask(begin + noise)
    except UnusualError:
        return
    assert begin + noise != b""
    assert len(answer.body) <= MAX_ANSWER_BYTES


@pytest.mark.parametrize(
    ("host", "path", "headers"),
    [
        ("mirror\r\nX: y", "/", {}),
        ("mirror", "/a b", {}),
        ("mirror", "/a\r\nX: y", {}),
        ("mirror", "/é", {}),
        ("mirror", "/", {"Authorization": "Basic x\r\nX: y"}),
    ],
)
def test_nothing_from_outside_adds_a_line_to_a_request(
    host: str, path: str, headers: dict[str, str]
) -> None:
    with pytest.raises(UnusualError):
        written("GET", host, path, headers, b"")


def test_a_body_is_announced() -> None:
    lines = written("POST", "mirror.example:8480", "/v1", {}, b"{}").split(b"\r\n")
    assert lines[0] == b"POST /v1 HTTP/1.1"
    assert {b"Host: mirror.example:8480", b"Content-Length: 2"} <= set(lines)
    assert lines[-2:] == [b"", b"{}"]

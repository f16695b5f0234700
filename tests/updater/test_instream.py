"""clamd's protocol from the client's side, against peers that do what they should not."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import SettingsError, UnprovenError
from updater.engines import instream
from updater.engines.base import Verdict
from updater.engines.instream import Address

Peer = Callable[[socket.socket], None]


@contextmanager
def peer(behave: Peer) -> Iterator[Address]:
    """Serve one connection on loopback."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            behave(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address.parse(f"127.0.0.1:{listener.getsockname()[1]}")
        finally:
            thread.join()


def take(connection: socket.socket) -> bytes:
    """Read one INSTREAM request as clamd does; return the data."""
    with connection.makefile("rb") as stream:
        assert stream.read(10) == b"zINSTREAM\0"
        data = b""
        while length := struct.unpack("!I", stream.read(4))[0]:
            data += stream.read(length)
    return data


@given(data=st.binary(max_size=200_000))
def test_any_bytes_arrive_as_they_are(data: bytes) -> None:
    def clamd(connection: socket.socket) -> None:
        arrived.append(take(connection))
        connection.sendall(b"stream: Some.Name FOUND\0")

    arrived: list[bytes] = []
    with peer(clamd) as address:
        answer = instream.scan(address, data, timeout_seconds=10)
    assert answer == (Verdict.found, "Some.Name")
    assert arrived == [data]


@given(reply=st.text(max_size=60))
def test_only_the_one_word_is_clean(reply: str) -> None:
    try:
        verdict, name = instream.verdict(reply, "x")
    except UnprovenError:
        return
    assert verdict is Verdict.found
    assert name


@pytest.mark.parametrize(
    "reply",
    ["", "OK", "stream: ", "stream: FOUND", "stream: X ERROR", "UNKNOWN COMMAND", "stream: OK x"],
)
def test_what_is_no_verdict_is_not_clean(reply: str) -> None:
    with pytest.raises(UnprovenError, match="no verdict"):
        instream.verdict(reply, "x")


def test_a_size_limit_is_not_clean_and_the_hint_says_what_to_raise() -> None:
    def clamd(connection: socket.socket) -> None:
        take(connection)
        connection.sendall(b"INSTREAM size limit exceeded. ERROR\0")

    with peer(clamd) as address, pytest.raises(UnprovenError) as caught:
        instream.scan(address, b"x" * 100, timeout_seconds=5)
    assert caught.value.hint == "raise StreamMaxLength"


def test_a_reply_that_trickles_in_is_no_answer_in_time() -> None:
    def trickle(connection: socket.socket) -> None:
        connection.settimeout(5)
        while not ended.wait(0.05):
            connection.sendall(b"x")

    ended = threading.Event()
    with peer(trickle) as address:
        try:
            with pytest.raises(UnprovenError, match=r"no answer within 0\.3 seconds"):
                instream.ask(address, "PING", timeout_seconds=0.3)
        finally:
            ended.set()


def test_a_reply_without_an_end_is_cut_off() -> None:
    def flood(connection: socket.socket) -> None:
        with connection.makefile("wb") as stream:
            try:
                stream.write(b"x" * (instream.MAX_REPLY_BYTES + 5000))
            except OSError:
                return

    with peer(flood) as address, pytest.raises(UnprovenError, match="MAX_REPLY_BYTES"):
        instream.ask(address, "PING", timeout_seconds=5)


def test_a_connection_that_ends_without_an_answer_is_named() -> None:
    with peer(lambda c: c.close()) as address, pytest.raises(UnprovenError):
        instream.ask(address, "PING", timeout_seconds=5)


def test_a_frozen_peer_that_never_accepts_is_no_sign_of_life() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address.parse(f"127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(UnprovenError, match="no answer"):
            instream.scan(address, b"x" * (8 << 20), timeout_seconds=0.3)


@pytest.mark.parametrize("text", ["/nonexistent/s", "127.0.0.1:1", "a..b:3310"])
def test_no_connection_is_unproven(text: str) -> None:
    with pytest.raises(UnprovenError, match="no connection"):
        instream.ask(Address.parse(text), "PING", timeout_seconds=2)


@pytest.mark.parametrize(
    "text", ["", "host", "host:0", "host:70000", "host:x", ":1", "/" + "x" * 120]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="socket"):
        Address.parse(text)


@pytest.mark.parametrize("text", ["/run/clamav/clamd.ctl", "localhost:3310", "[::1]:3310"])
def test_an_address_is_written_as_it_was_read(text: str) -> None:
    assert str(Address.parse(text)) == text

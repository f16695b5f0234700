"""What a mirror answers to what was sent: read if it is short, whichever mirror it is."""

import contextlib
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from tests.loopback import Quiet, Server, running
from updater.fetch import Fetcher, Way
from updater.fetch.connection import MAX_ANSWER_BYTES
from updater.settings import Limits

WAY = Way(limits=Limits(connect_timeout_seconds=2, read_timeout_seconds=2))


@contextlib.contextmanager
def answering(*pieces: bytes, pause: float = 0.0) -> Iterator[str]:
    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    self.wfile.write(piece)
                    time.sleep(pause)

    with running(Server(Handler)) as url:
        yield url


def test_the_next_mirror_is_told_where_the_first_is_dead_and_its_answer_is_read() -> None:
    with running(Server(BaseHTTPRequestHandler)) as dead:
        pass
    with answering(b'{"taken":', b"true}") as url, Fetcher((dead, url), WAY) as fetcher:
        assert fetcher.post("v1/hosts/mx1", b"{}") == (200, 0.0, b'{"taken":true}')


def test_an_answer_longer_than_its_limit_counts_as_none() -> None:
    pieces = [b"x" * 4096] * (MAX_ANSWER_BYTES // 4096 + 2)
    with answering(*pieces) as url, Fetcher((url,), WAY) as fetcher:
        assert fetcher.post("v1/hosts/mx1", b"{}")[2] == b""


def test_an_answer_that_trickles_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # 30 seconds of waiting would be no better a test
    monkeypatch.setattr("updater.fetch.connection.MAX_ANSWER_SECONDS", 0.2)
    with answering(*([b"x"] * 20), pause=0.1) as url, Fetcher((url,), WAY) as fetcher:
        assert fetcher.post("v1/hosts/mx1", b"{}")[2] == b""

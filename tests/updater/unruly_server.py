"""An HTTP server on loopback that behaves, until a test tells it not to."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Self
from urllib.parse import unquote

from tests.loopback import Quiet, Server, running


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]

    @property
    def first_byte(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))


class _Handler(Quiet, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        self.server.owner.answer(self)


class _Server(Server):
    owner: "UnrulyServer"


Answer = Callable[[BaseHTTPRequestHandler, bytes | None], None]


@dataclass
class UnrulyServer:
    """Serves ``files`` with Range and ETag; ``script`` holds answers for the next requests."""

    files: dict[str, bytes] = field(default_factory=dict)
    script: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    ranges: bool = True
    etags: bool = True
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        self._server = _Server(_Handler)
        self._server.owner = self
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._running = running(self._server)
        self._running.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._running.__exit__(None, None, None)

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(Asked(handler.path, dict(handler.headers)))
        data = self.files.get(handler.path, self.files.get(unquote(handler.path)))
        if self.script:
            self.script.pop(0)(handler, data)
        elif data is None:
            status(404)(handler, data)
        else:
            self.deliver(handler, data)

    def etag(self, data: bytes) -> str:
        return f'"{hash(data) & 0xFFFFFFFF:x}-{len(data)}"'

    def deliver(
        self, handler: BaseHTTPRequestHandler, data: bytes, *, cut: int | None = None
    ) -> None:
        """Send the file, or the range asked for; with ``cut`` hang up after so many bytes."""
        first, status_code = 0, 200
        asked = handler.headers.get("Range")
        matches = handler.headers.get("If-Range") in {None, self.etag(data)}
        if asked and self.ranges and matches:
            first, status_code = int(asked.removeprefix("bytes=").rstrip("-")), 206
        if first and first >= len(data):
            return status(416)(handler, data)
        handler.send_response(status_code)
        handler.send_header("Content-Length", str(len(data) - first))
        if status_code == 206:
            handler.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        if self.etags:
            handler.send_header("ETag", self.etag(data))
        handler.end_headers()
        body = data[first:]
        handler.wfile.write(body if cut is None else body[:cut])
        if cut is not None and cut < len(body):
            hang_up(handler)
        return None

    def cut(self, count: int) -> Answer:
        """Answer properly, but hang up after ``count`` bytes of the body."""
        return lambda handler, data: self.deliver(handler, data or b"", cut=count)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    with contextlib.suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)


def status(code: int, body: bytes = b"no", **headers: str) -> Answer:
    """Answer with a status; header names are written with ``_`` for ``-``."""

    def send(handler: BaseHTTPRequestHandler, _: bytes | None) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return send


def endless(handler: BaseHTTPRequestHandler, _: bytes | None) -> None:
    """Send bytes for as long as someone reads them."""
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(bytes(1 << 16))


def drip(piece: bytes, *, every: float) -> Answer:
    """Send a little at a time, without end, from the first line of the answer on."""

    def send(handler: BaseHTTPRequestHandler, _: bytes | None) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                handler.wfile.write(piece)
                time.sleep(every)

    return send


def silence(handler: BaseHTTPRequestHandler, _: bytes | None) -> None:
    """Accept the request and never answer; ends when the client goes away."""
    handler.close_connection = True
    with contextlib.suppress(OSError):
        handler.connection.settimeout(30)
        handler.connection.recv(1)


@contextlib.contextmanager
def dead_port() -> Iterator[str]:
    """Yield an address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"

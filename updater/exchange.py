"""Small HTTP/1.1 exchanges over one socket, without an HTTP library (RFC 9112).

What is read here is what a mirror answers a run that finds nothing new: a short head, and a body
whose length is told or that comes in plain chunks. Anything beyond that is an ``UnusualError``,
and for the full client to ask again and judge. One time limit covers a whole exchange.
"""

import socket
import time
from collections.abc import Mapping

import msgspec

MAX_HEAD_BYTES = 16 << 10
MAX_ANSWER_BYTES = 64 << 10
MAX_HEADERS = 100
_PIECE_BYTES = 16 << 10
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.0")
_BODILESS = frozenset({204, 304})
_NAME = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")  # RFC 9110, §5.6.2


class UnusualError(Exception):
    """An answer that is not a usual one, or none; it is left to the full client."""


class Answer(msgspec.Struct, frozen=True):
    """A status, headers by their names in small letters, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_last: bool  # on this connection


class Exchange:
    """One connection that requests are sent over, one after the other."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._rest = b""
        self._until = 0.0

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(self, request: bytes, *, max_seconds: float) -> Answer:
        """Send a request and read its answer.

        Raises:
            OSError: the connection broke, or the time was up.
            UnusualError: an answer that is not read here.

        """
        self._until = time.monotonic() + max_seconds
        self._waiting().sendall(request)
        version, status, headers = _head(self._up_to(b"\r\n\r\n", MAX_HEAD_BYTES))
        body = b"" if status in _BODILESS else self._body(headers)
        is_last = version != _VERSIONS[0] or headers.get("connection", "").lower() == "close"
        return Answer(status, headers, body, is_last or bool(self._rest))

    def _body(self, headers: Mapping[str, str]) -> bytes:
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is None and length is not None:
            return self._exactly(_number(length, 10))
        if coding is not None and coding.lower() == "chunked" and length is None:
            return self._chunks()
        raise UnusualError("no length that holds")

    def _chunks(self) -> bytes:
        body = b""
        while size := _number(self._line().decode("ascii", "replace"), 16):
            body += self._exactly(size)
            if len(body) > MAX_ANSWER_BYTES or self._line():
                raise UnusualError("a chunk that is too much, or does not end")
        if self._line():
            raise UnusualError("trailers")
        return body

    def _line(self) -> bytes:
        return self._up_to(b"\r\n", MAX_HEAD_BYTES)

    def _up_to(self, end: bytes, limit: int) -> bytes:
        while end not in self._rest:
            if len(self._rest) > limit:
                raise UnusualError("a head without an end")
            self._receive()
        found, _, self._rest = self._rest.partition(end)
        return found

    def _exactly(self, length: int) -> bytes:
        if length > MAX_ANSWER_BYTES:
            raise UnusualError(f"more than {MAX_ANSWER_BYTES=}")
        while len(self._rest) < length:
            self._receive()
        found, self._rest = self._rest[:length], self._rest[length:]
        return found

    def _receive(self) -> None:
        piece = self._waiting().recv(_PIECE_BYTES)
        if not piece:
            raise UnusualError("cut off")
        self._rest += piece

    def _waiting(self) -> socket.socket:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._socket


def request(method: str, host: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Write a request; a body travels with anything but GET.

    Raises:
        UnusualError: a host, path or header that must not stand in a head.

    """
    lines = {"Host": host, "Accept-Encoding": "identity", **headers}
    if method != "GET":
        lines["Content-Length"] = str(len(body))
    words = (path, *lines.values())
    if " " in path or not all(word.isascii() and word.isprintable() for word in words):
        raise UnusualError("what cannot be written in a head")
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body


def _head(data: bytes) -> tuple[bytes, int, dict[str, str]]:
    """Read a status line and headers; one that is there twice counts as unusual."""
    first, *lines = data.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    status, _, _ = rest.partition(b" ")
    code = int(status) if status.isdigit() and len(status) == 3 else 0
    if version not in _VERSIONS or code < 200 or len(lines) > MAX_HEADERS:
        raise UnusualError("no status line that is read here")
    headers: dict[str, str] = {}
    for line in lines:
        name, value = _header(line)
        if name in headers and name in {"content-length", "transfer-encoding", "connection"}:
            raise UnusualError(f"{name} twice")
        headers[name] = value
    return version, code, headers


def _header(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    name = name.lower()
    if not (name and colon and _NAME.issuperset(name)) or b"\r" in value or b"\n" in value:
        raise UnusualError("no header")
    return name.decode("ascii"), value.decode("latin-1").strip(" \t")


def _number(text: str, base: int) -> int:
    """Read digits, and nothing else that counts as a number elsewhere."""
    digits = "0123456789abcdef"[:base]
    if not 0 < len(text) <= 8 or any(letter not in digits for letter in text.lower()):
        raise UnusualError("no number")
    return int(text, base)

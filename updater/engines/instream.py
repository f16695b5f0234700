r"""The client side of clamd's protocol: one request on one connection, one limited reply.

Commands are ``z<NAME>\0``; INSTREAM adds chunks, each behind its length (4 bytes, big-endian),
and ends with a chunk of length 0. One time limit covers the whole exchange, so a reply that
trickles in byte by byte is no answer either.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from typing import Self

import msgspec

from keys.errors import SettingsError, UnprovenError
from updater.engines.base import Verdict

MAX_REPLY_BYTES = 64 << 10
CHUNK_BYTES = 64 << 10
MAX_UNIX_PATH_BYTES = 107  # sun_path of Linux, without its closing NUL
_END = struct.pack("!I", 0)


class Address(msgspec.Struct, frozen=True):
    """Where a scanner listens: a unix socket's path, or host and port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``/path/of/a.socket``, ``HOST:PORT`` or ``[v6]:PORT``.

        Raises:
            SettingsError: none of these.

        """
        if "/" in text:
            if len(text.encode()) > MAX_UNIX_PATH_BYTES:
                raise SettingsError(
                    f"socket {text!r}: a unix socket's path has at most {MAX_UNIX_PATH_BYTES} bytes"
                )
            return cls(path=text)
        host, _, port = text.rpartition(":")
        number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
        if not host or not 0 < number <= 65535:
            raise SettingsError(f"socket {text!r}: expected /PATH or HOST:PORT")
        return cls(host=host.removeprefix("[").removesuffix("]"), port=number)


def ask(address: Address, command: str, *, timeout_seconds: float) -> str:
    """Send one command and return the reply without its closing NUL.

    Raises:
        UnprovenError: no connection, or no whole reply in time.

    """
    with _Exchange(address, command, timeout_seconds) as exchange:
        exchange.send(_request(command))
        return exchange.reply()


def scan(address: Address, data: bytes, *, timeout_seconds: float) -> tuple[Verdict, str]:
    """Have bytes scanned; the text is the name of what was found.

    Raises:
        UnprovenError: no connection, no whole reply in time, or a reply that is no verdict.

    """
    with _Exchange(address, "INSTREAM", timeout_seconds) as exchange:
        exchange.send(_request("INSTREAM"), *_chunks(data), _END)
        reply = exchange.reply()
    return verdict(reply, str(address))


def verdict(reply: str, what: str) -> tuple[Verdict, str]:
    """Read the reply to INSTREAM; only ``stream: OK`` is clean.

    Raises:
        UnprovenError: it is no verdict, such as ``INSTREAM size limit exceeded. ERROR``.

    """
    _, colon, rest = reply.partition("stream: ")
    if colon and rest == "OK":
        return Verdict.clean, ""
    if colon and rest.endswith(" FOUND") and rest != " FOUND":
        return Verdict.found, rest.removesuffix(" FOUND")
    hint = "raise StreamMaxLength" if "size limit" in reply else ""
    raise UnprovenError(f"{what}: no verdict but {reply[:200]!r}", hint=hint)


def _request(command: str) -> bytes:
    return b"z" + command.encode("ascii") + b"\0"


def _chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), CHUNK_BYTES):
        chunk = data[start : start + CHUNK_BYTES]
        yield struct.pack("!I", len(chunk)) + chunk


class _Exchange:
    """One connection with one time limit."""

    def __init__(self, address: Address, command: str, timeout_seconds: float) -> None:
        self._what = f"{address}: {command}"
        self._address = address
        self._seconds = timeout_seconds
        self._until = time.monotonic() + timeout_seconds
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        try:
            self._socket = self._connect()
        except (OSError, UnicodeError) as exc:  # a host name that cannot be one: UnicodeError
            reason = getattr(exc, "strerror", None) or exc
            raise UnprovenError(f"{self._what}: no connection: {reason}") from exc
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def _connect(self) -> socket.socket:
        if not self._address.path:
            place = (self._address.host, self._address.port)
            return socket.create_connection(place, timeout=self._seconds)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._seconds)
            connection.connect(self._address.path)
        except OSError:
            connection.close()
            raise
        return connection

    def send(self, *pieces: bytes) -> None:
        """Send all of it, or stop where the other side stops reading: its reply says why."""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                try:
                    self._waiting().sendall(piece)
                except TimeoutError as exc:
                    raise self._late() from exc
                except ConnectionError:
                    raise
                except OSError as exc:
                    raise UnprovenError(f"{self._what}: {exc.strerror or exc}") from exc

    def reply(self) -> str:
        """Read up to the closing NUL."""
        reply = b""
        while b"\0" not in reply:
            try:
                piece = self._waiting().recv(4096)
            except TimeoutError as exc:
                raise self._late() from exc
            except OSError as exc:
                raise UnprovenError(f"{self._what}: {exc.strerror or exc}") from exc
            if not piece:
                raise UnprovenError(f"{self._what}: the connection ended without an answer")
            reply += piece
            if len(reply) > MAX_REPLY_BYTES:
                raise UnprovenError(f"{self._what}: more than MAX_REPLY_BYTES={MAX_REPLY_BYTES}")
        return reply.partition(b"\0")[0].decode("utf-8", "replace").strip()

    def _waiting(self) -> socket.socket:
        left = self._until - time.monotonic()
        if self._socket is None or left <= 0:
            raise self._late()
        self._socket.settimeout(left)
        return self._socket

    def _late(self) -> UnprovenError:
        return UnprovenError(f"{self._what}: no answer within {self._seconds:g} seconds")

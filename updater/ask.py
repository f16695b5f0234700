"""The requests of a run that finds nothing new, made without the HTTP library.

Loading that library costs more than the rest of such a run. Only the usual answers are taken
here, from the first mirror: a small file, that there is no newer root, or a status. Whatever else
happens, a redirect, an error, a slow answer, is left to the full client, which asks again and
judges it.
"""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from keys.credentials import read_credential
from keys.errors import Error, MissingError
from keys.trust.source import MetadataSource
from updater.settings import Settings

MAX_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 << 10
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class UnusualError(Exception):
    """An answer that is not the usual one; never leaves this module."""


class Asker:
    """One connection to the first mirror, for the length of a run; counts its requests."""

    def __init__(self, settings: Settings, *, max_seconds: float = MAX_SECONDS) -> None:
        self._settings = settings
        self._max_seconds = max_seconds
        self._connection: http.client.HTTPConnection | None = None
        self._usable = not settings.proxy and bool(settings.mirrors)
        self.requests = 0
        self.bytes_received = 0

    def source(self, repository: str, then: Callable[[], MetadataSource]) -> MetadataSource:
        """Return a repository's metadata: asked here first, and of ``then`` where that fails."""
        return _Source(self, repository, then)

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask the first mirror for a path below its address; return status and body.

        Raises:
            UnusualError: no answer, a long one, or a slow one; it is not asked again.

        """
        status, _, data = self._asked(path, None)
        return status, data

    def post(self, path: str, body: bytes) -> tuple[int, float, bytes]:
        """Send a body to a path; return status, the seconds of Retry-After, and the answer.

        Raises:
            UnusualError: as ``get``.

        """
        status, wait, data = self._asked(path, body)
        return status, float(wait[:9]) if wait.isascii() and wait.isdigit() else 0.0, data

    def _asked(self, path: str, body: bytes | None) -> tuple[int, str, bytes]:
        if not self._usable:
            raise UnusualError
        try:
            return self._ask(path, body)
        except (OSError, http.client.HTTPException, ValueError, Error, UnusualError) as exc:
            self._usable = False
            self.close()
            raise UnusualError from exc

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, path: str, body: bytes | None) -> tuple[int, str, bytes]:
        mirror = urlsplit(self._settings.mirrors[0])
        if self._connection is None or self._connection.sock is None:
            self._connection = self._connect(mirror)
        self.requests += 1
        with _cut_after(self._max_seconds, self._connection.sock):
            place = f"{mirror.path.rstrip('/')}/{path}"
            method = "GET" if body is None else "POST"
            self._connection.request(method, place, body, self._headers(mirror))
            response = self._connection.getresponse()
            data = response.read(MAX_ANSWER_BYTES + 1)
        if len(data) > MAX_ANSWER_BYTES or not response.isclosed():
            raise UnusualError
        self.bytes_received += len(data)
        return response.status, response.headers.get("Retry-After", ""), data

    def _connect(self, mirror: SplitResult) -> http.client.HTTPConnection:
        connection = self._prepared(mirror)
        connection.connect()
        return connection

    def _prepared(self, mirror: SplitResult) -> http.client.HTTPConnection:
        if mirror.scheme == "http":
            return http.client.HTTPConnection(mirror.netloc, timeout=self._max_seconds)
        if mirror.scheme != "https":
            raise UnusualError
        import ssl  # noqa: PLC0415 - start-up time: only where TLS is used

        context = ssl.create_default_context(cafile=self._settings.ca_file or None)
        return http.client.HTTPSConnection(
            mirror.netloc, timeout=self._max_seconds, context=context
        )

    def _headers(self, mirror: SplitResult) -> dict[str, str]:
        """Log in, where the credential may go; the full client says why where it may not."""
        if not self._settings.credential_file:
            return {}
        if mirror.scheme != "https" and mirror.hostname not in LOOPBACK:
            raise UnusualError
        return {"Authorization": read_credential(Path(self._settings.credential_file)).basic()}


@contextmanager
def _cut_after(seconds: float, sock: socket.socket) -> Iterator[None]:
    """End an exchange that trickles: its reader then sees the connection closed."""

    def cut() -> None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Source:
    """A ``MetadataSource`` that asks quickly first."""

    def __init__(self, asker: Asker, repository: str, then: Callable[[], MetadataSource]) -> None:
        self._asker = asker
        self._folder = f"r/{repository}/metadata/"
        self._then = then

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return a metadata file; as promised by ``MetadataSource``."""
        with suppress(UnusualError):
            status, data = self._asker.get(self._folder + name)
            if status == http.client.OK and len(data) <= max_bytes:
                return data
            if status == http.client.NOT_FOUND and name.endswith(".root.json"):
                raise MissingError(f"{name}: HTTP 404, not there")
        return self._then().read(name, max_bytes=max_bytes)

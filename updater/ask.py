"""The requests of a run that finds nothing new, made without the HTTP library.

Loading that library costs more than the rest of such a run. Only the usual answers are taken
here, from the first mirror: a small file, that there is no newer root, or a status. Whatever else
happens, a redirect, an error, a slow answer, is left to the full client, which asks again and
judges it.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from keys.credentials import read_credential
from keys.errors import Error, MissingError
from keys.trust.source import MetadataSource
from updater.exchange import Answer, Exchange, UnusualError, request
from updater.settings import Settings

MAX_SECONDS = 10.0
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_PORTS = {"http": 80, "https": 443}
_OK = 200
_NOT_FOUND = 404


class Asker:
    """One connection to the first mirror, for the length of a run; counts its requests."""

    def __init__(self, settings: Settings, *, max_seconds: float = MAX_SECONDS) -> None:
        self._settings = settings
        self._max_seconds = max_seconds
        self._connection: Exchange | None = None
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
        answer = self._asked("GET", path, b"")
        return answer.status, answer.body

    def post(self, path: str, body: bytes) -> tuple[int, float, bytes]:
        """Send a body to a path; return status, the seconds of Retry-After, and the answer.

        Raises:
            UnusualError: as ``get``.

        """
        answer = self._asked("POST", path, body)
        wait = answer.headers.get("retry-after", "")
        seconds = float(wait[:9]) if wait.isascii() and wait.isdigit() else 0.0
        return answer.status, seconds, answer.body

    def _asked(self, method: str, path: str, body: bytes) -> Answer:
        if not self._usable:
            raise UnusualError
        try:
            return self._ask(method, path, body)
        except (OSError, ValueError, Error, UnusualError) as exc:
            self._usable = False
            self.close()
            raise UnusualError from exc

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, body: bytes) -> Answer:
        mirror = urlsplit(self._settings.mirrors[0])
        place = f"{mirror.path.rstrip('/')}/{path}"
        wanted = request(method, _host(mirror), place, self._headers(mirror), body)
        if self._connection is None:
            self._connection = Exchange(self._connected(mirror))
        self.requests += 1
        answer = self._connection.ask(wanted, max_seconds=self._max_seconds)
        self.bytes_received += len(answer.body)
        if answer.is_last:
            self.close()
        return answer

    def _connected(self, mirror: SplitResult) -> socket.socket:
        place = (mirror.hostname or "", mirror.port or _PORTS[mirror.scheme])
        plain = socket.create_connection(place, timeout=self._max_seconds)
        return plain if mirror.scheme == "http" else self._secured(plain, place[0])

    def _secured(self, plain: socket.socket, host: str) -> socket.socket:
        import ssl  # noqa: PLC0415 - start-up time: only where TLS is used

        try:
            context = ssl.create_default_context(cafile=self._settings.ca_file or None)
            return context.wrap_socket(plain, server_hostname=host)
        except (OSError, ValueError):
            plain.close()
            raise

    def _headers(self, mirror: SplitResult) -> dict[str, str]:
        """Log in, where the credential may go; the full client says why where it may not."""
        if not self._settings.credential_file:
            return {}
        if mirror.scheme != "https" and mirror.hostname not in LOOPBACK:
            raise UnusualError
        return {"Authorization": read_credential(Path(self._settings.credential_file)).basic()}


def _host(mirror: SplitResult) -> str:
    """Return what names the mirror in a request.

    Raises:
        UnusualError: no plain address.

    """
    if mirror.scheme not in _PORTS or not mirror.hostname or "@" in mirror.netloc:
        raise UnusualError
    return mirror.netloc


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
            if status == _OK and len(data) <= max_bytes:
                return data
            if status == _NOT_FOUND and name.endswith(".root.json"):
                raise MissingError(f"{name}: HTTP 404, not there")
        return self._then().read(name, max_bytes=max_bytes)

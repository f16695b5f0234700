"""HTTP GET under rules: TLS always verified, credentials for one host only, few redirects."""

import contextlib
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from keys.credentials import Credential, redact_url
from keys.errors import FetchError, RefusedError, SettingsError
from updater.fetch.pace import Traffic
from updater.settings import Limits

if TYPE_CHECKING:
    import urllib3
    from urllib3 import BaseHTTPResponse

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
USER_AGENT = "sigupdate"
MAX_ANSWER_BYTES = 64 << 10  # to what was sent
MAX_ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Way:
    """How to get out: credential, certificate authorities, proxy, time limits."""

    credential: Credential | None = None
    ca_file: str = ""
    proxy: str = ""
    limits: Limits = field(default_factory=Limits)


def check_mirror(url: str, way: Way) -> str:
    """Return a mirror's address without trailing slash.

    Raises:
        SettingsError: not http(s), holding a password, or a credential would go out in clear.

    """
    shown = redact_url(url)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise SettingsError(f"mirrors: {shown}: {exc}") from exc
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise SettingsError(f"mirrors: {shown}: not an http:// or https:// address")
    if "@" in parts.netloc:
        raise SettingsError(
            f"mirrors: {shown}: holds a user name", hint="put NAME:PASSWORD into credential_file"
        )
    if way.credential and parts.scheme == "http" and not _is_loopback(host):
        raise SettingsError(
            f"mirrors: {shown}: a credential never goes over plain http",
            hint="use https://, or no credential_file",
        )
    return url.rstrip("/")


def _short(response: "BaseHTTPResponse") -> bytes:
    """Read an answer that is short."""
    until, data = time.monotonic() + MAX_ANSWER_SECONDS, b""
    while len(data) <= MAX_ANSWER_BYTES and time.monotonic() < until:
        more = response.read1(MAX_ANSWER_BYTES + 1, decode_content=False)
        if not more:
            return data
        data += more
    return b""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def origin(url: str) -> tuple[str, str, int]:
    """Return what a credential belongs to: scheme, host and port."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", port


class Connections:
    """The connections of one run, kept open between requests."""

    def __init__(self, way: Way, traffic: Traffic) -> None:
        self._way = way
        self._traffic = traffic
        self._pools: dict[tuple[str, str], urllib3.PoolManager] = {}

    @contextlib.contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator["BaseHTTPResponse"]:
        """Open the answer to a GET, redirects followed; its body is read in the block.

        Raises:
            FetchError: no connection, no answer, or the answer broke off.
            RefusedError: TLS does not verify, or too many redirects.

        """
        with _translated(url), contextlib.closing(self._follow(url, headers)) as response:
            yield response

    def post(self, url: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """Send a body; return status, headers, and a short answer. No redirect is followed.

        An answer longer than ``MAX_ANSWER_BYTES`` or ``MAX_ANSWER_SECONDS`` counts as an empty one.

        Raises:
            FetchError, RefusedError: as ``get``.

        """
        sent = {"Content-Type": "application/json"}
        with _translated(url):
            response = self._request(url, sent, with_credential=True, body=body)
            with contextlib.closing(response):
                return response.status, response.headers, _short(response)

    def _follow(self, url: str, headers: Mapping[str, str]) -> "BaseHTTPResponse":
        home = origin(url)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._request(url, headers, with_credential=origin(url) == home)
            if response.status not in REDIRECTS:
                return response
            response.close()
            url = urljoin(url, response.headers.get("Location", ""))
            if urlsplit(url).scheme not in {"http", "https"}:
                raise RefusedError(f"{redact_url(url)}: redirected away from HTTP")
        raise RefusedError(f"{redact_url(url)}: more than {MAX_REDIRECTS} redirects")

    def _request(
        self, url: str, headers: Mapping[str, str], *, with_credential: bool,
        body: bytes | None = None,
    ) -> "BaseHTTPResponse":  # fmt: skip
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        if with_credential and self._way.credential:
            sent["Authorization"] = self._way.credential.basic()
        self._traffic.requests += 1
        return self._pool(url).request(
            "GET" if body is None else "POST",
            url,
            body=body,
            headers=sent,
            redirect=False,
            retries=False,
            preload_content=False,
        )

    def _pool(self, url: str) -> "urllib3.PoolManager":
        scheme = urlsplit(url).scheme
        key = (scheme, self._proxy(url))
        if key not in self._pools:
            self._pools[key] = self._new_pool(*key)
        return self._pools[key]

    def _new_pool(self, scheme: str, proxy: str) -> "urllib3.PoolManager":
        import urllib3  # noqa: PLC0415 - loaded with the first request

        limits = self._way.limits
        options: dict[str, Any] = {
            "timeout": urllib3.Timeout(
                connect=limits.connect_timeout_seconds, read=limits.read_timeout_seconds
            ),
        }
        if scheme == "https":
            options["ssl_context"] = self._tls()
        if proxy:
            pool: urllib3.PoolManager = _proxied(proxy, options)
        else:
            pool = urllib3.PoolManager(**options)
        pool.pool_classes_by_scheme = _impatient(limits.read_timeout_seconds)
        return pool

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._way.ca_file or None)
        except (OSError, ssl.SSLError) as exc:
            raise SettingsError(f"ca_file: {self._way.ca_file}: {exc}") from exc

    def _proxy(self, url: str) -> str:
        if self._way.proxy != "environment":
            return self._way.proxy
        from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - rarely needed

        parts = urlsplit(url)
        return "" if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme, "")

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.clear()


@contextlib.contextmanager
def _translated(url: str) -> Iterator[None]:
    from urllib3 import exceptions  # noqa: PLC0415 - loaded with the first request

    try:
        yield
    except exceptions.SSLError as exc:
        raise RefusedError(
            f"{redact_url(url)}: TLS: {exc}",
            hint="if the mirror uses a CA of its own, name it as ca_file",
        ) from exc
    except exceptions.HTTPError as exc:
        raise FetchError(f"{redact_url(url)}: {_reason(exc)}") from exc


def _proxied(proxy: str, options: dict[str, Any]) -> "urllib3.PoolManager":
    import urllib3  # noqa: PLC0415 - loaded with the first request

    parts = urlsplit(proxy)
    headers = None
    if parts.username:
        login = f"{parts.username}:{parts.password or ''}"
        headers = urllib3.make_headers(proxy_basic_auth=login)
        proxy = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
    except (ValueError, urllib3.exceptions.HTTPError) as exc:
        raise SettingsError(f"proxy: {redact_url(proxy)}: {exc}") from exc


def _impatient(seconds: float) -> dict[str, Any]:
    """Make pools whose answers must begin in time, even when they trickle byte by byte.

    A socket's timeout starts anew with each byte, so a slow header could last for days.
    """
    from urllib3 import connection, connectionpool  # noqa: PLC0415 - loaded with the first request

    class Plain(connection.HTTPConnection):
        def getresponse(self) -> Any:  # noqa: ANN401 - whatever urllib3 returns
            with _cut_after(seconds, self):
                return super().getresponse()

    class Tls(connection.HTTPSConnection):
        def getresponse(self) -> Any:  # noqa: ANN401 - whatever urllib3 returns
            with _cut_after(seconds, self):
                return super().getresponse()

    class PlainPool(connectionpool.HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(connectionpool.HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}


@contextlib.contextmanager
def _cut_after(seconds: float, connection: Any) -> Iterator[None]:  # noqa: ANN401 - of urllib3
    timer = threading.Timer(seconds, _cut, [connection.sock])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(sock: Any) -> None:  # noqa: ANN401 - a socket, or TLS over one
    import socket  # noqa: PLC0415 - loaded by urllib3 long before

    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    """Say what happened, without the library's own object names."""
    from urllib3 import exceptions  # noqa: PLC0415 - loaded with the first request

    if isinstance(error, exceptions.ReadTimeoutError):
        return "nothing came in time"
    if isinstance(error, exceptions.ProtocolError):
        return "the connection broke off"
    if type(error) is exceptions.ConnectTimeoutError:  # its subclasses know more
        return "no connection in time"
    return str(error).rpartition("): ")[2] or type(error).__name__

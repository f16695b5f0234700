"""HTTP to a vendor: one origin that gets the credential, every limit named, nothing believed."""

import asyncio
import contextlib
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import aiohttp
from yarl import URL

from keys.credentials import Credential, redact_url
from keys.errors import (
    FetchError,
    LimitError,
    SettingsError,
    StateError,
    UsageError,
)
from keys.model.release import Pin
from mirror.upstream import answers
from mirror.upstream.transcript import Exchange, Transcript, shown

CHUNK_BYTES = 1 << 18
MAX_REDIRECTS = 5
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0  # until the headers are there, and between two pieces of a body
RATE_GRACE_SECONDS = 5.0  # before the minimum rate counts


@dataclass(frozen=True, slots=True)
class Access:
    """Where a vendor is and how to get in."""

    url: str
    credential: Credential | None = None
    ca_file: str = ""
    min_rate_bytes_per_second: int = 256


def check_address(access: Access) -> URL:
    """Return the vendor's base address if it may be used.

    Raises:
        UsageError: not http(s), with a password inside, or a credential that would travel in
            the clear.

    """
    url, shown_url = URL(access.url), redact_url(access.url)
    if url.scheme not in {"http", "https"} or not url.host:
        raise UsageError(f"{shown_url}: not an http or https address")
    if url.user or url.password:
        raise UsageError(
            f"{shown_url}: holds a user name or password",
            hint="name a licence with username and password_file instead",
        )
    if access.credential and url.scheme == "http" and not _is_loopback(url.host):
        raise UsageError(
            f"{shown_url}: the password would travel in the clear", hint="use an https address"
        )
    return url / "" if not url.path.endswith("/") else url


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class VendorClient:
    """Requests below one address; used as ``async with``."""

    def __init__(self, access: Access, transcript: Transcript) -> None:
        self.transcript = transcript
        self._base = check_address(access)
        self._access = access
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS
        )
        self._session = aiohttp.ClientSession(
            timeout=timeout,
            connector=aiohttp.TCPConnector(ssl=_trust(self._access.ca_file), limit_per_host=8),
            auto_decompress=False,
            headers={"User-Agent": "sigmirror", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return a whole object.

        Raises:
            MissingError: 404, or the 403 of an object store.
            CredentialError, LicenceEndedError, FetchError, LimitError: it did not come.

        """
        gathered = bytearray()
        async with self._get(name, {}) as (response, exchange):
            answers.check(response.status, response.headers, redact_url(str(response.url)))
            async for data in self._body(response, exchange):
                gathered += data
                if len(gathered) > max_bytes:
                    raise LimitError(f"{name}: more than max_bytes={max_bytes}")
        return bytes(gathered)

    async def download(
        self, name: str, target: Path, pin: Pin, *, on_bytes: Callable[[int], None]
    ) -> None:
        """Bring an object into a file, going on where an earlier attempt left it.

        The file is complete in length, not yet verified.

        Raises:
            MissingError, CredentialError, LicenceEndedError, FetchError, LimitError: as ``read``;
                what came stays in the file.

        """
        with target.open("ab") as file:
            held = file.tell()
            if held > pin.length:
                held = file.truncate(0)
            if held == pin.length:
                return
            headers = {"Range": f"bytes={held}-", "If-Range": f'"{pin.sha256}"'} if held else {}
            async with self._get(name, headers) as (response, exchange):
                answers.check(response.status, response.headers, redact_url(str(response.url)))
                if not answers.continues(response.status, response.headers, held):
                    file.truncate(0)
                await self._save(response, exchange, file, pin, on_bytes)
            if file.tell() != pin.length:
                raise FetchError(f"{name}: ended after {file.tell()} of {pin.length} bytes")

    async def _save(
        self, response: aiohttp.ClientResponse, exchange: Exchange, file: BinaryIO, pin: Pin,
        on_bytes: Callable[[int], None],
    ) -> None:  # fmt: skip
        async for data in self._body(response, exchange):
            if file.tell() + len(data) > pin.length:
                raise LimitError(f"{exchange.url}: more than the {pin.length} bytes promised")
            try:
                await asyncio.to_thread(file.write, data)
            except OSError as exc:
                raise StateError(f"{file.name}: {exc.strerror or exc}") from exc
            on_bytes(len(data))

    @contextlib.asynccontextmanager
    async def _get(
        self, name: str, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Exchange]]:
        """Ask, following redirects; the credential stays with its own origin."""
        url = self._base.join(URL(name, encoded=True))
        async with contextlib.AsyncExitStack() as held:
            for _ in range(MAX_REDIRECTS + 1):
                exchange = self.transcript.begin(str(url), authorized=self._is_own(url))
                with _translated(exchange):
                    async with asyncio.timeout(CONNECT_SECONDS + ANSWER_SECONDS):
                        response = await held.enter_async_context(self._request(url, headers))
                    exchange.status = response.status
                    exchange.headers = shown(dict(response.headers))
                    location = answers.redirect(response.status, response.headers)
                    if location is None:
                        yield response, exchange
                        return
                url = self._next(url, location)
            raise FetchError(f"{redact_url(str(url))}: more than {MAX_REDIRECTS} redirects")

    def _request(
        self, url: URL, headers: Mapping[str, str]
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        assert self._session is not None, "used outside `async with`"  # noqa: S101
        sent = dict(headers)
        if self._access.credential and self._is_own(url):
            sent["Authorization"] = self._access.credential.basic()
        return self._session.get(url, headers=sent, allow_redirects=False)

    def _is_own(self, url: URL) -> bool:
        return self._access.credential is not None and url.origin() == self._base.origin()

    @staticmethod
    def _next(url: URL, location: str) -> URL:
        try:
            following = url.join(URL(location))
        except ValueError as exc:
            raise FetchError(f"{redact_url(str(url))}: redirects to nowhere") from exc
        downgrade = url.scheme == "https" and following.scheme != "https"
        if downgrade or following.scheme not in {"http", "https"}:
            raise FetchError(f"{redact_url(str(url))}: redirects to {redact_url(str(following))}")
        return following

    async def _body(
        self, response: aiohttp.ClientResponse, exchange: Exchange
    ) -> AsyncIterator[bytes]:
        """Stream a body; one that trickles is given up."""
        begun, received = time.monotonic(), 0
        async for data in response.content.iter_chunked(CHUNK_BYTES):
            received += len(data)
            self.transcript.count(exchange, len(data))
            seconds = time.monotonic() - begun - RATE_GRACE_SECONDS
            if seconds > 0 and received < self._access.min_rate_bytes_per_second * seconds:
                raise FetchError(
                    f"{exchange.url}: slower than "
                    f"min_rate_bytes_per_second={self._access.min_rate_bytes_per_second}"
                )
            yield data


def _trust(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as exc:
        raise SettingsError(f"ca_file: {ca_file}: {exc}") from exc


@contextlib.contextmanager
def _translated(exchange: Exchange) -> Iterator[None]:
    try:
        yield
    except TimeoutError as exc:
        exchange.error = "timed out"
        raise FetchError(f"{exchange.url}: no answer in time") from exc
    except (aiohttp.ClientError, OSError) as exc:
        exchange.error = redact_url(str(exc)) or type(exc).__name__
        raise FetchError(f"{exchange.url}: {exchange.error}") from exc

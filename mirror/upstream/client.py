"""HTTP to a vendor: one origin that gets the credential, every limit named, nothing believed."""

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from keys.errors import FetchError, LimitError, RefusedError
from mirror.upstream import answers
from mirror.upstream.access import Access, check_address, trust
from mirror.upstream.answers import CutOffError
from mirror.upstream.auth import Request
from mirror.upstream.transcript import Exchange, Transcript

CHUNK_BYTES = 1 << 18
MAX_REDIRECTS = 5
NOT_MODIFIED = 304
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0  # until the headers are there, and between two pieces of a body
RATE_GRACE_SECONDS = 5.0  # before the minimum rate counts


@dataclass(frozen=True, slots=True)
class Answer:
    """What a vendor answered, whatever the status; ``data`` is empty where it was not read here.

    ``credentialed`` tells whether the one who answered was shown the credential: after a redirect
    to another host he was not.
    """

    status: int
    headers: Mapping[str, str]
    address: str  # redacted
    credentialed: bool = False
    data: bytes = b""


_CUT_OFF = (aiohttp.ClientPayloadError, ConnectionError)

Judge = Callable[[Answer], None]
"""Accept an answer by its head, or raise what it means."""


def accept(_answer: Answer) -> None:
    """Accept any answer."""


def check(answer: Answer) -> None:
    """Accept one that carries the object; raises as ``answers.check``."""
    answers.check(answer.status, answer.headers, answer.address)


class VendorClient:
    """Requests below one address; used as ``async with``."""

    def __init__(self, access: Access, transcript: Transcript) -> None:
        self.transcript = transcript
        self._redactor = transcript.redactor = access.redactor
        self._base = check_address(access)
        self._access = access
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS
        )
        self._anyone = trust(self._access.ca_file)
        self._vendor = trust(self._access.ca_file, self._access.auth.certificate)
        self._session = aiohttp.ClientSession(
            timeout=timeout,
            connector=aiohttp.TCPConnector(limit_per_host=8),
            auto_decompress=False,
            headers={"User-Agent": self._access.agent, "Accept-Encoding": "identity"},
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

    async def ask(
        self, name: str, *, max_bytes: int, method: str = "GET",
        headers: Mapping[str, str] | None = None, judge: Judge = accept,
        beginning: bool = False,
    ) -> Answer:  # fmt: skip
        """Return an answer with its whole body; any status, unless ``judge`` minds.

        ``name`` is below the address, percent-encoded, or a whole address; only the address's own
        origin is shown the credential. With ``beginning`` no more than ``max_bytes`` are taken.

        Raises:
            FetchError, LimitError: it did not come, or is longer than ``max_bytes``.
            Error: as ``judge``.

        """
        gathered = bytearray()
        async with self.get(name, headers or {}, method) as (answer, pieces):
            judge(answer)
            answers.check_encoding(answer.headers, answer.address)
            async for data in pieces:
                gathered += data
                if beginning and len(gathered) >= max_bytes:
                    break
                if len(gathered) > max_bytes:
                    raise LimitError(f"{answer.address}: more than max_bytes={max_bytes}")
            return replace(answer, data=bytes(gathered[:max_bytes]))

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return a whole object.

        Raises:
            MissingError: 404, or the 403 of an object store.
            CredentialError, LicenceEndedError, FetchError, LimitError: it did not come.

        """
        return (await self.ask(name, max_bytes=max_bytes, judge=check)).data

    @contextlib.asynccontextmanager
    async def get(
        self, name: str, headers: Mapping[str, str], method: str = "GET"
    ) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        """Ask, following redirects; the credential stays with its own origin.

        Yields the answer's head, whatever its status, and the pieces of its body.

        Raises:
            CutOffError: the body ended before its end.
            FetchError: it did not come.

        """
        request, own = Request(self._base.join(URL(name, encoded=True)), method, headers), True
        async with contextlib.AsyncExitStack() as held:
            for _ in range(MAX_REDIRECTS + 1):
                own = own and request.url.origin() == self._base.origin()
                sent = self._access.auth.show(request) if own else request
                exchange = self.transcript.begin(
                    str(request.url), method=sent.method,
                    credential=self._access.auth.told if own else (),
                )  # fmt: skip
                with self._translated(exchange):
                    async with asyncio.timeout(CONNECT_SECONDS + ANSWER_SECONDS):
                        response = await held.enter_async_context(self._send(sent, own=own))
                    self.transcript.answered(exchange, response.status, response.headers)
                    location = answers.redirect(response.status, response.headers)
                    if location is None:
                        head = Answer(
                            response.status, response.headers, exchange.url,
                            bool(exchange.credential),
                        )  # fmt: skip
                        yield head, self._body(response, exchange)
                        return
                request = replace(request, url=self._next(request.url, location))
            raise RefusedError(
                f"{self._redactor.text(str(request.url))}: more than {MAX_REDIRECTS} redirects"
            )

    def _send(
        self, request: Request, *, own: bool
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        assert self._session is not None, "used outside `async with`"  # noqa: S101
        return self._session.request(
            request.method,
            request.url,
            headers=request.headers,
            data=dict(request.form) or None,
            ssl=self._vendor if own else self._anyone,
            allow_redirects=False,
        )

    def _next(self, url: URL, location: str) -> URL:
        """Tell where a redirect leads, if it may be followed."""
        here = self._redactor.text(str(url))
        try:
            following = url.join(URL(location))
        except ValueError:
            raise RefusedError(f"{here}: redirects to nowhere") from None
        there = self._redactor.text(str(following))
        downgrade = url.scheme == "https" and following.scheme != "https"
        if downgrade or following.scheme not in {"http", "https"} or not following.host:
            raise RefusedError(f"{here}: redirects to {there}")
        foreign = following.origin() != self._base.origin()
        if foreign and self._redactor.holds(str(following)):
            raise RefusedError(
                f"{here}: redirects to {there}, another host, with the credential in the address",
                hint="if the vendor has moved, write his new address into url",
            )
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

    @contextlib.contextmanager
    def _translated(self, exchange: Exchange) -> Iterator[None]:
        """Name what went wrong; the cause is left out, its text may hold the credential."""
        try:
            yield
        except TimeoutError:
            exchange.error = "timed out"
            raise FetchError(f"{exchange.url}: no answer in time") from None
        except (aiohttp.ClientError, OSError) as exc:
            exchange.error = self._redactor.text(_reason(exc))
            kind = CutOffError if isinstance(exc, _CUT_OFF) else FetchError
            raise kind(f"{exchange.url}: {exchange.error}") from None


def _reason(exc: Exception) -> str:
    """Say what went wrong in no words of the vendor's."""
    if isinstance(exc, aiohttp.ClientPayloadError):
        return "the body was cut off or is malformed"
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "hung up without an answer"
    if isinstance(exc, aiohttp.ClientResponseError):
        return "answers something that is no HTTP"
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return f"no connection: {exc.certificate_error}"
    if isinstance(exc, aiohttp.ClientConnectorError):
        return f"no connection: {_cause(exc.os_error)}"
    return " ".join(str(exc).split()) or type(exc).__name__


def _cause(error: OSError) -> str:
    """Say why there was none, without the address: it may be another one each time."""
    if error.errno and not isinstance(error, (ssl.SSLError, socket.gaierror)):
        return os.strerror(error.errno)
    return error.strerror or str(error)

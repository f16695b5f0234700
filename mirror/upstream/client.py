"""HTTP to a vendor: one origin that gets the credential, every limit named, nothing believed."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import aiohttp
from yarl import URL

from keys.errors import FetchError, LimitError, RefusedError, StateError
from keys.model.release import Pin
from mirror.upstream import answers
from mirror.upstream.access import Access, check_address, trust
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
        async with self._get(name, headers or {}, method) as (response, exchange):
            answer = _head(response, exchange)
            judge(answer)
            answers.check_encoding(answer.headers, answer.address)
            async for data in self._body(response, exchange):
                gathered += data
                if beginning and len(gathered) >= max_bytes:
                    break
                if len(gathered) > max_bytes:
                    raise LimitError(f"{exchange.url}: more than max_bytes={max_bytes}")
            return replace(answer, data=bytes(gathered[:max_bytes]))

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return a whole object.

        Raises:
            MissingError: 404, or the 403 of an object store.
            CredentialError, LicenceEndedError, FetchError, LimitError: it did not come.

        """
        return (await self.ask(name, max_bytes=max_bytes, judge=check)).data

    async def save(
        self, name: str, target: Path, *, max_bytes: int, limit: str = "max_bytes",
        headers: Mapping[str, str] | None = None, judge: Judge = check,
        on_bytes: Callable[[int], None],
    ) -> Answer:  # fmt: skip
        """Stream a whole object into a file; ``limit`` is the name of the byte limit.

        Where ``headers`` ask for a change and there is none (304), no file is written.

        Raises:
            LimitError: longer than ``max_bytes``, by its header or by its bytes.
            FetchError: it did not come.
            Error: as ``judge``; nothing was written then.

        """
        async with self._get(name, headers or {}, "GET") as (response, exchange):
            answer = _head(response, exchange)
            judge(answer)
            answers.check_encoding(answer.headers, answer.address)
            answers.check_length(answer.headers, answer.address, max_bytes, limit)
            if answer.status == NOT_MODIFIED:
                return answer
            with target.open("wb") as file:
                promise = f"{limit}={max_bytes}"
                await self._save(response, exchange, file, max_bytes, promise, on_bytes)
            return answer

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
            async with self._get(name, headers, "GET") as (response, exchange):
                check(_head(response, exchange))
                if not answers.continues(response.status, response.headers, held):
                    file.truncate(0)
                promise = f"the {pin.length} bytes promised"
                await self._save(response, exchange, file, pin.length, promise, on_bytes)
            if file.tell() != pin.length:
                raise FetchError(f"{name}: ended after {file.tell()} of {pin.length} bytes")

    async def _save(
        self, response: aiohttp.ClientResponse, exchange: Exchange, file: BinaryIO,
        max_bytes: int, promise: str, on_bytes: Callable[[int], None],
    ) -> None:  # fmt: skip
        async for data in self._body(response, exchange):
            if file.tell() + len(data) > max_bytes:
                raise LimitError(f"{exchange.url}: more than {promise}")
            try:
                await asyncio.to_thread(file.write, data)
            except OSError as exc:
                raise StateError(f"{file.name}: {exc.strerror or exc}") from exc
            on_bytes(len(data))

    @contextlib.asynccontextmanager
    async def _get(
        self, name: str, headers: Mapping[str, str], method: str
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Exchange]]:
        """Ask, following redirects; the credential stays with its own origin."""
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
                        yield response, exchange
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
            raise FetchError(f"{exchange.url}: {exchange.error}") from None


def _reason(exc: Exception) -> str:
    """Say what went wrong in no words of the vendor's."""
    if isinstance(exc, aiohttp.ClientPayloadError):
        return "the body was cut off or is malformed"
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "hung up without an answer"
    if isinstance(exc, aiohttp.ClientResponseError):
        return "answers something that is no HTTP"
    return " ".join(str(exc).split()) or type(exc).__name__


def _head(response: aiohttp.ClientResponse, exchange: Exchange) -> Answer:
    return Answer(response.status, response.headers, exchange.url, bool(exchange.credential))

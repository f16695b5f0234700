"""A mirror of ClamAV databases on loopback, as the vendor's: HTTP, and its TXT record over UDP."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime, parsedate_to_datetime
from typing import cast

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
from aiohttp import web

from keys.errors import TrustError
from keys.trust.vendor.header import parse_header
from tests.clamav_vendor import VENDOR, Issue
from tests.real_data import real_data

Meddle = Callable[[web.Request, bytes], web.StreamResponse | bytes | None]
RECORD = "current.cvd.clamav.net"


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    range: str
    since: str
    agent: str
    authorization: str


@dataclass
class ClamavServer:
    """Serves ``files`` flat, as told.

    ``statuses`` answers a path, or ``*`` for all, with a status and headers instead; ``meddle``
    may answer itself or change the bytes.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, tuple[int, Mapping[str, str]]] = field(default_factory=dict)
    meddle: Meddle | None = None
    authorization: str = ""
    ranges: bool = True
    dates: bool = True  # answer If-Modified-Since
    txt: str = ""
    asked: list[Asked] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    sent: int = 0
    port: int = 0
    dns_port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def resolver(self) -> str:
        return f"127.0.0.1:{self.dns_port}"

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [asked.path for asked in self.asked]

    def forget(self) -> None:
        """Begin a new count of requests."""
        self.asked.clear()
        self.queries.clear()
        self.sent = 0

    def genuine(self, version: int, *, without: tuple[str, ...] = ()) -> None:
        """Have this version of the genuine database ``test`` in place, as if newly released."""
        folder = real_data("clamav/testdb")
        self.files["test.cvd"] = (folder / f"test-{version}.cvd").read_bytes()
        names = [f"test-{version}.cvd.sign"]
        if version > 1:
            names += [f"test-{version}.cdiff", f"test-{version}.cdiff.sign"]
        for name in names:
            if name not in without:
                self.files[name] = (folder / name).read_bytes()

    def release(self, new: Issue, old: Issue | None = None, *, signed: bool = False) -> None:
        """Have a version of a database in place that the tests' own vendor signed."""
        released = {f"{new.database}.cvd": VENDOR.cvd(new)}
        if old:
            name = f"{new.database}-{new.version}.cdiff"
            released[name] = VENDOR.cdiff_between(old, new)
        if signed:
            for name, data in list(released.items()):
                whole = name.replace(".cvd", f"-{new.version}.cvd")
                released[f"{whole}.sign"] = VENDOR.sign(data)
        self.files.update(released)

    def record(self, **versions: int) -> None:
        """Write the TXT record."""
        told = {"main": 0, "daily": 0, "bytecode": 0, **versions}
        self.txt = (
            f"0.103.12:{told['main']}:{told['daily']}:1772366400:0:90:49192:{told['bytecode']}"
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        name = request.path.lstrip("/")
        self.asked.append(
            Asked(
                name,
                headers.get("Range", ""),
                headers.get("If-Modified-Since", ""),
                headers.get("User-Agent", ""),
                headers.get("Authorization", ""),
            )
        )
        if self.authorization and headers.get("Authorization") != self.authorization:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
        if told := self.statuses.get(name) or self.statuses.get("*"):
            return web.Response(status=told[0], headers=told[1])
        data = self.files.get(name)
        if data is None:
            return web.Response(status=404, text="<html>not here</html>")
        answer = self.meddle(request, data) if self.meddle else None
        if isinstance(answer, web.StreamResponse):
            return answer
        return self._answer(request, data if answer is None else answer)

    def _answer(self, request: web.Request, data: bytes) -> web.Response:
        built = _built(data)
        headers = {"Last-Modified": built} if built else {}
        since = request.headers.get("If-Modified-Since")
        if (
            self.dates
            and built
            and since
            and parsedate_to_datetime(built) <= parsedate_to_datetime(since)
        ):
            return web.Response(status=304, headers=headers)
        wanted = request.headers.get("Range", "")
        if wanted and self.ranges:
            end = min(int(wanted.partition("-")[2]), len(data) - 1)
            headers["Content-Range"] = f"bytes 0-{end}/{len(data)}"
            self.sent += end + 1
            return web.Response(status=206, body=data[: end + 1], headers=headers)
        self.sent += len(data)
        return web.Response(body=data, headers=headers)


def _built(data: bytes) -> str:
    try:
        header = parse_header(data[:512], "a file", "database")
    except TrustError:
        return ""
    return format_datetime(header.built, usegmt=True)


class _Responder(asyncio.DatagramProtocol):
    def __init__(self, server: ClamavServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        self._server.queries.append(question.name.to_text(omit_final_dot=True))
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if self._server.txt and question.rdtype == dns.rdatatype.TXT:
            answer.answer.append(
                dns.rrset.from_text(question.name, 60, "IN", "TXT", f'"{self._server.txt}"')
            )
        assert self._transport
        self._transport.sendto(answer.to_wire(), addr)


@contextlib.asynccontextmanager
async def serving(server: ClamavServer) -> AsyncIterator[ClamavServer]:
    app = web.Application()
    app.router.add_get("/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", server.port).start()
    server.port = runner.addresses[0][1]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Responder(server), local_addr=("127.0.0.1", server.dns_port)
    )
    server.dns_port = transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()
        await runner.cleanup()


@contextlib.contextmanager
def in_background(server: ClamavServer) -> Iterator[ClamavServer]:
    """Let a server answer while the test waits for programs."""
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        async with serving(server):
            ready.set()
            await ended.wait()

    ended = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()

"""A vendor on loopback: a real repository in a folder, served over HTTP as told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from tests.mirror.site import Mirror

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Meddle = Callable[
    [web.Request, bytes], "web.StreamResponse | bytes | Awaitable[web.StreamResponse] | None"
]


@dataclass
class Vendor:
    """Serves ``/r/…`` of a mirror's folder.

    ``instead`` answers everything itself; ``meddle`` may change what is found, or answer.
    """

    mirror: Mirror
    authorization: str = ""
    meddle: Meddle | None = None
    instead: Handler | None = None
    log: list[str] = field(default_factory=list)
    sent: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/r/site"

    def asked(self, part: str) -> list[str]:
        return [line for line in self.log if part in line]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        authorized = request.headers.get("Authorization", "")
        self.log.append(f"{request.path} {request.headers.get('Range', '')}".strip())
        if self.instead:
            return await self.instead(request)
        if self.authorization and authorized != self.authorization:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
        path = self.mirror.folder / request.path.lstrip("/")
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except OSError:
            return web.Response(status=404)
        answer = self.meddle(request, data) if self.meddle else None
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, web.StreamResponse):
            return answer
        data = answer if answer is not None else data
        return self._part(request, path.name.partition(".")[0], data)

    def _part(self, request: web.Request, tag: str, data: bytes) -> web.Response:
        wanted = request.headers.get("Range", "")
        headers = {"ETag": f'"{tag}"'}
        if wanted and request.headers.get("If-Range") == f'"{tag}"':
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.sent += len(data) - start
            return web.Response(status=206, body=data[start:], headers=headers)
        self.sent += len(data)
        return web.Response(body=data, headers=headers)


@contextlib.asynccontextmanager
async def serving(vendor: Vendor) -> AsyncIterator[Vendor]:
    app = web.Application()
    app.router.add_get("/{path:.*}", vendor.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", vendor.port)
    await site.start()
    vendor.port = runner.addresses[0][1]
    try:
        yield vendor
    finally:
        await runner.cleanup()


def root_of(mirror: Mirror, folder: Path, version: int = 1) -> Path:
    """Copy one of the vendor's roots, as an operator would get it."""
    path = folder / "vendor-root.json"
    path.write_bytes((mirror.folder / f"r/site/metadata/{version}.root.json").read_bytes())
    return path

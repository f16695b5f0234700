"""Sending an object: from memory, from its file by sendfile, or in chunks of its store."""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog
from aiohttp import web

from keys.errors import MissingError
from mirror.storage.base import ReadableStore
from mirror.web import ranges
from mirror.web.errors import Refusal
from mirror.web.snapshot import Document

SENT = web.RequestKey("sent", int)  # body bytes of an object in the store
SLICE_BYTES = 1 << 20  # sent in one go; small requests get their turn in between


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of an object that a request gets, and how the answer says so."""

    status: int
    offsets: range
    headers: Mapping[str, str]


def unchanged(request: web.Request, etag: str) -> bool:
    """Tell whether the client has these bytes already (RFC 9110 §13.1.2)."""
    header = request.headers.get("If-None-Match")
    if header is None or header == etag:
        return header is not None
    known = {part.strip().removeprefix("W/") for part in header.split(",")}
    return etag in known or "*" in known


def select(request: web.Request, length: int, etag: str, headers: Mapping[str, str]) -> Selection:
    """Choose the bytes a request gets.

    Raises:
        Refusal: 416, none of the bytes asked for exists.

    """
    asked = request.headers.get("Range", "")
    if not asked or request.headers.get("If-Range", etag) != etag:
        return Selection(200, range(length), headers)
    offsets = ranges.wanted(asked, length)
    if offsets is None:
        return Selection(200, range(length), headers)
    place = {"Content-Range": ranges.content_range(offsets, length)}
    if not offsets:
        raise Refusal(416, "no such range", place)
    return Selection(206, offsets, {**headers, **place})


def from_memory(
    request: web.Request, document: Document, headers: Mapping[str, str]
) -> web.Response:
    """Answer with a document or a part of it."""
    chosen = select(request, len(document.data), document.etag, headers)
    data = document.data
    if chosen.status == 206:
        data = data[chosen.offsets.start : chosen.offsets.stop]
    return web.Response(status=chosen.status, body=data, headers=chosen.headers)


def elsewhere(address: str) -> web.Response:
    """Send a client to an address that only it is told, and that holds for a short while."""
    return web.Response(status=307, headers={"Location": address, "Cache-Control": "no-store"})


async def from_store(
    request: web.Request, store: ReadableStore, name: str, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer with an object's bytes or a part of them; ``headers`` hold its entity tag.

    Raises:
        MissingError: there is no such object.

    """
    path = await store.local_path(name)
    file = await asyncio.to_thread(_open, path) if path else None
    if file is None:
        return await _from_chunks(request, store, name, headers)
    with file:
        chosen = select(request, os.fstat(file.fileno()).st_size, headers["ETag"], headers)
        response = await _begin(request, chosen)
        if request.method != "HEAD":
            with _cutting(request, name):
                await _sendfile(request, file, chosen.offsets)
    return response


def _open(path: Path) -> BinaryIO | None:
    """Open an object's file; it stays readable though the name may go meanwhile."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


async def _from_chunks(
    request: web.Request, store: ReadableStore, name: str, headers: Mapping[str, str]
) -> web.StreamResponse:
    stat = await store.stat(name)
    if stat is None:
        raise MissingError(name)
    chosen = select(request, stat.length, headers["ETag"], headers)
    response = await _begin(request, chosen)
    if request.method != "HEAD":
        with _cutting(request, name):
            async for chunk in store.chunks(name, chosen.offsets.start, chosen.offsets.stop):
                await response.write(chunk)
                request[SENT] = request.get(SENT, 0) + len(chunk)
    return response


async def _begin(request: web.Request, chosen: Selection) -> web.StreamResponse:
    response = web.StreamResponse(status=chosen.status, headers=chosen.headers)
    response.content_length = len(chosen.offsets)
    await response.prepare(request)
    return response


async def _sendfile(request: web.Request, file: BinaryIO, offsets: range) -> None:
    """Hand the bytes to the kernel in slices; over TLS the loop reads and encrypts them."""
    loop = asyncio.get_running_loop()
    for start in range(offsets.start, offsets.stop, SLICE_BYTES):
        if request.transport is None:
            raise ConnectionResetError("the client went away")
        count = min(SLICE_BYTES, offsets.stop - start)
        sent = await loop.sendfile(request.transport, file, start, count)
        request[SENT] = request.get(SENT, 0) + sent
        if sent < count:
            raise EOFError("the file is shorter than it was")


@contextlib.contextmanager
def _cutting(request: web.Request, name: str) -> Iterator[None]:
    """Cut the connection when a body cannot be finished: the client sees that it is short."""
    try:
        yield
    except ConnectionError:
        _abort(request)
    except asyncio.CancelledError:
        _abort(request)
        raise
    except Exception as exc:  # noqa: BLE001 - the headers are sent: no other answer is possible
        _abort(request)
        structlog.get_logger().error("cut", object=name, cause=f"{type(exc).__name__}: {exc}")


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()

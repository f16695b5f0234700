"""``/files/``: plain files of every channel, for clients that know nothing of repositories.

``latest`` is the newest release that the visitor is entitled to, and may change any time; a
release's own number never does. Pages and sidecars are for every visitor, as metadata is.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

import msgspec
from aiohttp import web

from keys.errors import StoreError
from keys.model.release import File, Manifest
from mirror.fleet.doors import Visitor
from mirror.fleet.sharing import admits, strictest
from mirror.offers import Offer
from mirror.web import sending
from mirror.web.errors import Refusal, not_found, uncovered
from mirror.web.native import listing, pages
from mirror.web.native.listing import ChannelPage, ReleasePage, RootPage
from mirror.web.native.objects import Sender, cache_control
from mirror.web.native.plain import INDEX_JSON, PUBLIC_KEY, Wanted, wanted
from mirror.web.native.shelf import Shelf, Shelves
from mirror.web.repository import Repositories
from mirror.web.snapshot import Document

_BYTES = "application/octet-stream"
_TEXT = "text/plain; charset=utf-8"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

Page = RootPage | ChannelPage | ReleasePage


class FilesLayout:
    """Answers requests below ``/files/``; keeps in memory what it read of releases."""

    def __init__(self) -> None:
        self._shelves = Shelves()

    async def answer(
        self, repositories: Repositories, request: web.Request, *, now: datetime
    ) -> web.StreamResponse:
        """Answer a GET or HEAD.

        Raises:
            Refusal: who asks is not let in, has no licence for it, or it is not there.
            StoreError: a channel or a file cannot be read.

        """
        visitor = await repositories.gate.admit(request, now=now)
        asked = wanted(request.rel_url.raw_path)
        if asked is None:
            raise not_found()
        return await _Visit(repositories, self._shelves, request, visitor, now).answer(asked)


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request of one visitor."""

    repositories: Repositories
    shelves: Shelves
    request: web.Request
    visitor: Visitor
    now: datetime

    async def answer(self, asked: Wanted) -> web.StreamResponse:
        if asked.channel == INDEX_JSON and not asked.is_folder:
            return self._page(await self._root(), is_json=True)
        if asked.is_page and not asked.is_folder:
            return _with_slash(self.request)
        if not asked.channel:
            return self._page(await self._root(), is_json=False)
        offer = await self._offer(asked.channel)
        if not asked.edition:
            return await self._of_channel(offer, asked.path)
        return await self._of_release(offer, asked)

    async def _offer(self, channel: str) -> Offer:
        """Return the first channel of this name, in the settings' order."""
        for offer in await self.repositories.index.offers():
            if offer.channel == channel:
                return offer
        raise not_found()

    async def _root(self) -> RootPage:
        return RootPage(tuple([page async for page in self._latest_pages()]))

    async def _latest_pages(self) -> AsyncIterator[ReleasePage]:
        """Describe what the visitor may have of each channel; damaged ones are left out."""
        for offer in await self.repositories.index.offers():
            said = self.repositories.sharing.word(offer.repository, offer.channel)
            try:
                manifest = self._latest(offer)
                if admits(strictest((said, manifest.redistribution)), self.visitor):
                    yield await self._on_root(offer, manifest)
            except (Refusal, StoreError):
                continue

    async def _on_root(self, offer: Offer, manifest: Manifest) -> ReleasePage:
        """Describe a release; definitions are many files, and for programs: none is listed."""
        if manifest.content == "definitions":
            return listing.release_page(Shelf(manifest))
        return listing.release_page(await self._shelf(offer, manifest))

    async def _of_channel(self, offer: Offer, path: str) -> web.StreamResponse:
        shelf = await self._shelf(offer, self._latest(offer))
        if path == PUBLIC_KEY and shelf.sidecars.key:
            return self._text(shelf.sidecars.key.encode(), shelf.manifest, is_fixed=False)
        if path not in {"", INDEX_JSON}:
            raise not_found()
        page = listing.channel_page(listing.release_page(shelf), offer.releases.values())
        return self._page(page, is_json=bool(path))

    async def _of_release(self, offer: Offer, asked: Wanted) -> web.StreamResponse:
        number = asked.sequence
        manifest = self._latest(offer) if number is None else _kept(offer, number)
        shelf = await self._shelf(offer, manifest)
        if file := shelf.files.get(asked.path):
            return await self._file(offer, manifest, file, is_fixed=number is not None)
        if (data := shelf.beside(asked.path)) is not None:
            return self._text(data, manifest, is_fixed=number is not None)
        if asked.path not in {"", INDEX_JSON}:
            raise not_found()
        return self._page(listing.release_page(shelf), is_json=bool(asked.path))

    def _latest(self, offer: Offer) -> Manifest:
        return self.repositories.index.release(offer, self.visitor, now=self.now)

    async def _shelf(self, offer: Offer, manifest: Manifest) -> Shelf:
        return await self.shelves.get(self.repositories.index, offer, manifest)

    async def _file(
        self, offer: Offer, manifest: Manifest, file: File, *, is_fixed: bool
    ) -> web.StreamResponse:
        found = self.repositories.index.found(offer, manifest, file)
        if self.repositories.gate.door.gated:
            standing = found.repository.standing(self.visitor, offer.channel, self.now)
            if not await found.repository.allows(found.place, standing):
                raise uncovered(offer.channel, standing)
        sender = Sender(self.repositories, self.request, self.visitor, self.now)
        kind = "application/pdf" if file.path.lower().endswith(".pdf") else _BYTES
        return await sender.send(
            found, modified=manifest.published, content_type=kind, is_fixed=is_fixed
        )

    def _text(self, data: bytes, manifest: Manifest, *, is_fixed: bool) -> web.StreamResponse:
        keep = cache_control(is_public=self.repositories.public, is_fixed=is_fixed)
        at = format_datetime(manifest.published.astimezone(UTC), usegmt=True)
        return self._small(data, _TEXT, {"Cache-Control": keep, "Last-Modified": at})

    def _page(self, page: Page, *, is_json: bool) -> web.StreamResponse:
        """Write a page as who asks wants it; which page it is depends on who asks."""
        keep = cache_control(is_public=self.repositories.public, is_fixed=False)
        headers = {"Cache-Control": keep, "Vary": "Accept, Authorization"}
        if is_json or _wants_json(self.request):
            return self._small(msgspec.json.encode(page), "application/json", headers)
        headers["Content-Security-Policy"] = _POLICY
        return self._small(_html(page).encode(), "text/html; charset=utf-8", headers)

    def _small(self, data: bytes, kind: str, headers: dict[str, str]) -> web.StreamResponse:
        document = Document.of(data)
        common = {**headers, "ETag": document.etag}
        if sending.unchanged(self.request, document.etag):
            return web.Response(status=304, headers=common)
        given = {
            **common,
            "Content-Type": kind,
            "Accept-Ranges": "bytes",
            "X-Content-Type-Options": "nosniff",
        }
        return sending.from_memory(self.request, document, given)


def _kept(offer: Offer, number: int) -> Manifest:
    if offer.problem:
        raise StoreError(offer.problem)
    manifest = offer.releases.get(number)
    if manifest is None:
        raise not_found()
    return manifest


def _with_slash(request: web.Request) -> web.Response:
    """Send a client to the folder it means; links on its page are relative."""
    name, query = request.rel_url.raw_path.rpartition("/")[2], request.rel_url.raw_query_string
    place = f"./{name}/?{query}" if query else f"./{name}/"
    headers = {"Location": place, "Cache-Control": "no-cache"}
    return web.Response(status=301, headers=headers)


def _wants_json(request: web.Request) -> bool:
    return "json" in request.query or "application/json" in request.headers.get("Accept", "")


def _html(page: Page) -> str:
    match page:
        case RootPage():
            return pages.root_html(page)
        case ChannelPage():
            return pages.channel_html(page)
        case ReleasePage():
            return pages.release_html(page)

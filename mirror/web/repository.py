"""``/r/<repository>/…``: TUF repositories, byte for byte as they lie in the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from keys.model.release import Redistribution
from mirror.fleet.doors import Visitor
from mirror.fleet.sharing import Sharing, strictest
from mirror.storage.base import ReadableStore
from mirror.web import layout, sending
from mirror.web.access import Gate, check_shared
from mirror.web.cache.opening import Elsewhere
from mirror.web.errors import not_found, uncovered
from mirror.web.hot import HotRepository
from mirror.web.layout import Kind, Place
from mirror.web.native.index import NativeIndex

PUBLIC = "public, max-age=31536000, immutable"
PRIVATE = "private, max-age=31536000, immutable"
ASK = "no-cache"


@dataclass(frozen=True, slots=True)
class Repositories:
    """What requests are answered from; replaced whole when settings or records change."""

    store: ReadableStore
    by_name: Mapping[str, HotRepository]
    gate: Gate
    public: bool  # everybody is let in
    sharing: Sharing
    index: NativeIndex
    elsewhere: Elsewhere | None = None  # where blobs are fetched, if not here

    async def answer(self, request: web.Request, *, now: datetime) -> web.StreamResponse:
        """Answer a GET or HEAD below ``/r/``.

        Raises:
            Refusal: who asks is not let in, has no licence for it, or it is not there.

        """
        visitor = await self.gate.admit(request, now=now)
        place = layout.place(request.rel_url.raw_path)
        repository = self.by_name.get(place.repository) if place else None
        if place is None or repository is None:
            raise not_found()
        word: Redistribution = "public"
        if place.kind is Kind.blob:
            word = await self._check_blob(visitor, repository, place, now)
        caching = self._caching(place, word)
        if place.sha256 and sending.unchanged(request, f'"{place.sha256}"'):
            return _unchanged(caching, f'"{place.sha256}"')
        return await self._send(request, repository, place, caching)

    async def word(self, repository: HotRepository, place: Place) -> Redistribution:
        """Tell who may be served a blob: what settings and releases say, the stricter of it."""
        said = self.sharing.word(repository.name, place.channel)
        return strictest((said, await repository.redistribution(place)))

    async def _check_blob(
        self, visitor: Visitor, repository: HotRepository, place: Place, now: datetime
    ) -> Redistribution:
        """Tell who may be served a blob, if the visitor is one of those."""
        word = await self.word(repository, place)
        check_shared(visitor, word, place.channel)
        if self.gate.door.gated:
            await _check_covered(visitor, repository, place, now)
        return word

    async def _send(
        self, request: web.Request, repository: HotRepository, place: Place, caching: str
    ) -> web.StreamResponse:
        document = await repository.document(place)
        etag = document.etag if document else f'"{place.sha256}"'
        if sending.unchanged(request, etag):
            return _unchanged(caching, etag)
        headers = _headers(place, etag, caching)
        if document is not None:
            return sending.from_memory(request, document, headers)
        return await self.from_store(request, repository, place, headers)

    async def from_store(
        self, request: web.Request, repository: HotRepository, place: Place,
        headers: Mapping[str, str],
    ) -> web.StreamResponse:  # fmt: skip
        """Answer with what is not in memory, or with where it is; all checks are done.

        A date that a client compares with is for us to judge: elsewhere an object has another one.
        """
        name = repository.path(place)
        is_plain = request.method == "GET" and "If-Modified-Since" not in request.headers
        if self.elsewhere and place.kind is Kind.blob and is_plain:
            return sending.elsewhere(await self.elsewhere.address(name))
        return await sending.from_store(request, self.store, name, headers)

    def _caching(self, place: Place, word: Redistribution) -> str:
        if place.kind is Kind.timestamp:
            return ASK
        return PUBLIC if self.public and word == "public" else PRIVATE


def _unchanged(caching: str, etag: str) -> web.Response:
    return web.Response(status=304, headers={"ETag": etag, "Cache-Control": caching})


def _headers(place: Place, etag: str, caching: str) -> CIMultiDictProxy[str]:
    is_json = place.name.endswith(".json")
    return CIMultiDictProxy(
        CIMultiDict(
            {
                "Content-Type": "application/json" if is_json else "application/octet-stream",
                "ETag": etag,
                "Cache-Control": caching,
                "Accept-Ranges": "bytes",
                "X-Content-Type-Options": "nosniff",
            }
        )
    )


async def _check_covered(
    visitor: Visitor, repository: HotRepository, place: Place, now: datetime
) -> None:
    standing = repository.standing(visitor, place.channel, now)
    if await repository.allows(place, standing):
        return
    raise uncovered(place.channel, standing)

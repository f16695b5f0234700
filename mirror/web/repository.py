"""``/r/<repository>/…``: TUF repositories, byte for byte as they lie in the store."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from keys.model.standing import LicenceState
from mirror.fleet.doors import Visitor
from mirror.storage.base import Store
from mirror.web import layout, sending
from mirror.web.access import Gate
from mirror.web.errors import Refusal, not_found
from mirror.web.hot import HotRepository
from mirror.web.layout import Kind, Place

PUBLIC = "public, max-age=31536000, immutable"
PRIVATE = "private, max-age=31536000, immutable"
ASK = "no-cache"


@dataclass(frozen=True, slots=True)
class Repositories:
    """What requests are answered from; replaced whole when settings or records change."""

    store: Store
    by_name: Mapping[str, HotRepository]
    gate: Gate
    public: bool  # everybody may keep copies

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
        if self.gate.door.gated and place.kind is Kind.blob:
            await _check_covered(visitor, repository, place, now)
        if place.sha256 and sending.unchanged(request, f'"{place.sha256}"'):
            return self._unchanged(place, f'"{place.sha256}"')
        return await self._send(request, repository, place)

    async def _send(
        self, request: web.Request, repository: HotRepository, place: Place
    ) -> web.StreamResponse:
        document = await repository.document(place)
        etag = document.etag if document else f'"{place.sha256}"'
        if sending.unchanged(request, etag):
            return self._unchanged(place, etag)
        headers = self._headers(place, etag)
        if document is not None:
            return sending.from_memory(request, document, headers)
        return await sending.from_store(request, self.store, repository.path(place), etag, headers)

    def _unchanged(self, place: Place, etag: str) -> web.Response:
        return web.Response(status=304, headers=self._caching(place, etag))

    def _caching(self, place: Place, etag: str) -> dict[str, str]:
        keep = PUBLIC if self.public else PRIVATE
        return {"ETag": etag, "Cache-Control": ASK if place.kind is Kind.timestamp else keep}

    def _headers(self, place: Place, etag: str) -> CIMultiDictProxy[str]:
        is_json = place.name.endswith(".json")
        return CIMultiDictProxy(
            CIMultiDict(
                {
                    "Content-Type": "application/json" if is_json else "application/octet-stream",
                    **self._caching(place, etag),
                    "Accept-Ranges": "bytes",
                    "X-Content-Type-Options": "nosniff",
                }
            )
        )


async def _check_covered(
    visitor: Visitor, repository: HotRepository, place: Place, now: datetime
) -> None:
    standing = visitor.standing(place.channel, now, seen=repository.newest)
    if await repository.allows(place, standing):
        return
    raise _uncovered(place.channel, standing)


def _uncovered(channel: str, standing: LicenceState | None) -> Refusal:
    """Say up to which day releases are covered, where any is."""
    if standing is None or standing.covered_until is None:
        state = standing.state.value if standing else "none"
        return Refusal(402, f"no licence covers channel {channel} today ({state})")
    until, tz = standing.covered_until.isoformat(), standing.licence.tz
    return Refusal(
        402,
        f"the licence covers releases of channel {channel} up to {until} ({tz})",
        {"Licence-Ends-On": until, "Licence-Tz": tz},
    )

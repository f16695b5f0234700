"""Sending a file under a native name: the name stays, its bytes may change any time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from keys.errors import StoreError
from keys.model.release import Redistribution
from mirror.fleet.doors import Visitor
from mirror.web import sending
from mirror.web.access import check_shared
from mirror.web.native.index import Found
from mirror.web.repository import ASK, PRIVATE, PUBLIC, Repositories

ASK_PRIVATELY = "private, no-cache"


def cache_control(*, is_public: bool, is_fixed: bool) -> str:
    """Write the ``Cache-Control`` of a name whose bytes stay, or may change any time."""
    if is_fixed:
        return PUBLIC if is_public else PRIVATE
    return ASK if is_public else ASK_PRIVATELY


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends what was found, to visitors who may have it."""

    repositories: Repositories
    request: web.Request
    visitor: Visitor
    now: datetime

    async def send(
        self,
        found: Found,
        *,
        modified: datetime | None = None,
        content_type: str = "application/octet-stream",
        is_fixed: bool = False,
    ) -> web.StreamResponse:
        """Answer with a file, a range of it, or that the client has it.

        ``modified`` is the vendor's own time of it; without one only its hash tells of a change.
        ``is_fixed`` says that its name never has other bytes.

        Raises:
            Refusal: 401 or 402, it is not to be shared with this visitor.
            StoreError: it is missing or damaged.

        """
        caching = await self._caching(found, is_fixed=is_fixed)
        etag = f'"{found.file.sha256}"'
        common = {"ETag": etag, "Cache-Control": caching}
        is_unchanged = self._is_unchanged(found, etag, modified)
        if modified is not None and (is_unchanged or not self._asks_after(modified)):
            common["Last-Modified"] = format_datetime(modified.astimezone(UTC), usegmt=True)
        if is_unchanged:
            return web.Response(status=304, headers=common)
        return await self._body(found, etag, {**common, "Content-Type": content_type})

    def _asks_after(self, modified: datetime) -> bool:
        """Tell whether the client names a later time than the file's own.

        It is not told that one: libcurl, so freshclam, throws away what is older than it asked.
        """
        since = self.request.if_modified_since
        return since is not None and since > modified

    async def check(self, found: Found) -> Redistribution:
        """Tell who may be served a file, if the visitor is one of those.

        Raises:
            Refusal: 401 or 402, he is not.

        """
        word = await self.repositories.word(found.repository, found.place)
        check_shared(self.visitor, word, found.manifest.channel)
        return word

    async def _caching(self, found: Found, *, is_fixed: bool) -> str:
        word = await self.check(found)
        is_public = self.repositories.public and word == "public"
        return cache_control(is_public=is_public, is_fixed=is_fixed)

    def _is_unchanged(self, found: Found, etag: str, modified: datetime | None) -> bool:
        """Tell whether the client has these bytes; a hash it shows counts more than a time.

        Clients send back the time they were told, or that of their own download (freshclam does
        for a custom URL). The one must be exactly the file's: releases go back, too. The other
        must be after this release came into force here, whatever the vendor's time of it.
        """
        if "If-None-Match" in self.request.headers or modified is None:
            return sending.unchanged(self.request, etag)
        since = self.request.if_modified_since
        if since is None or since == modified:
            return since is not None
        settled = self.repositories.index.settled(found)
        return settled is not None and settled <= since <= self.now

    async def _body(
        self, found: Found, etag: str, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        request, place = self.request, found.place
        given = CIMultiDictProxy(
            CIMultiDict({**headers, "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"})
        )
        document = await found.repository.document(place)
        if document is None:
            return await self.repositories.from_store(request, found.repository, place, given)
        if document.etag != etag:
            raise StoreError(f"{place.name}: damaged in the store")
        return sending.from_memory(request, document, given)

"""``/clamav/``: the flat layout that freshclam and cvdupdate read, of the vendors' own bytes.

What a status code does to freshclam decides here. A cdiff answered 404 would leave a client that
is one version behind on the old version; an empty one makes it take the whole database. A ``.cld``
is never served: nothing checks its signature on the way. The time of a database is the one in its
header, which clients send back; the file's own would freeze them.
"""

from datetime import datetime

from aiohttp import web

from keys.trust.vendor.cvd import read_header
from keys.trust.vendor.header import Header
from mirror.offers import originals
from mirror.upstream.clamav.layout import CdiffName, cvd_name, is_database_name
from mirror.web.errors import not_found
from mirror.web.native.index import Found
from mirror.web.native.objects import ASK_PRIVATELY, Sender
from mirror.web.repository import Repositories

_CVD, _SIGN = ".cvd", ".sign"


class ClamavLayout:
    """Answers requests below ``/clamav/`` from what is in force."""

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories
        self._index = repositories.index

    async def answer(self, request: web.Request, *, now: datetime) -> web.StreamResponse:
        """Answer a GET or HEAD; a query such as cvdupdate's ``?version=3`` changes nothing.

        Raises:
            Refusal: who asks is not let in, has no licence for it, or it is not there.
            StoreError: a channel or a file cannot be read.

        """
        visitor = await self._repositories.gate.admit(request, now=now)
        name = request.match_info["name"]
        database = database_of(name)
        if database is None:
            raise not_found()
        whole = await self._index.named(visitor, originals, cvd_name(database), now=now)
        sender = Sender(self._repositories, request, visitor, now)
        if name == whole.file.path:
            return await sender.send(whole, modified=(await self._header(whole)).built)
        file = originals(whole.manifest).get(name)
        if file is not None:
            return await sender.send(whole.sibling(file))
        self._index.check_covered(whole, originals, name, visitor, now=now)
        await sender.check(whole)
        if await self._is_lost(name, whole):
            return _take_the_whole()
        raise not_found()

    async def _is_lost(self, name: str, whole: Found) -> bool:
        """Tell whether a cdiff to a version that is out already is none of ours."""
        cdiff = CdiffName.parse(name)
        return cdiff is not None and cdiff.version <= (await self._header(whole)).version

    async def _header(self, whole: Found) -> Header:
        return read_header(await self._index.head(whole), whole.file.path)


def database_of(name: str) -> str | None:
    """Tell the database that a file of the layout belongs to; None for any other name."""
    if name.endswith(_CVD):
        database = name.removesuffix(_CVD)
        return database if is_database_name(database) else None
    plain = name.removesuffix(_SIGN)
    if plain.endswith(_CVD) and plain != name:  # its signature's name has the version, too
        plain = plain.removesuffix(_CVD) + ".cdiff"
    cdiff = CdiffName.parse(plain)
    return cdiff.name if cdiff else None


def _take_the_whole() -> web.Response:
    """Answer with an empty cdiff: freshclam then takes the whole database."""
    return web.Response(
        body=b"",
        content_type="application/octet-stream",
        headers={"Cache-Control": ASK_PRIVATELY, "X-Content-Type-Options": "nosniff"},
    )

"""Driver: requests of our own, for mirrors that are not the vendor's.

It asks the TXT record, or else for the 512 bytes every database begins with; then for whole
databases that are newer, for the cdiffs that lead there, and for the .sign of each.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from pathlib import Path

from keys import files
from keys.errors import FetchError, FormatError, RefusedError, RollbackError, StateError
from keys.trust.vendor.cvd import read_header
from keys.trust.vendor.header import HEADER_BYTES, Header
from mirror.upstream.answers import BlockPageError
from mirror.upstream.base import Pull
from mirror.upstream.bodies import Bodies, Limit
from mirror.upstream.clamav.drivers import Advertised, Surroundings, ask_record
from mirror.upstream.clamav.layout import CdiffName, cvd_name, cvd_sign_name, sign_name
from mirror.upstream.client import Answer, VendorClient

MAX_CDIFF_BYTES = 64 << 20
MAX_SIGN_BYTES = 1 << 20
_GOOD = {200, 206}
_GONE = {404, 410}


class Native:
    """Speaks to a mirror as freshclam does, under our own name."""

    lacks: tuple[str, ...] = ()

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._settings = around.settings
        self._working = around.working

    async def advertised(self) -> Advertised:
        """Ask the record; ask the mirror about what that does not tell or tells to be newer."""
        held, (told, note) = await self._held(), await self._told()
        found = {}
        async with self._asking() as asking:
            for name in self._settings.databases:
                settled = name in told and told[name] == held.get(name)
                found[name] = told[name] if settled else await asking.version(name)
        self._check_in_sync(held, told, found)
        return Advertised(found, self._around.shown, "answered", note)

    async def _held(self) -> dict[str, int]:
        return await asyncio.to_thread(self._working.versions)

    async def _told(self) -> tuple[dict[str, int], str]:
        """Read the record; one that does not answer, or with junk, tells nothing and is noted."""
        if not self._settings.dns:
            return {}, ""
        try:
            return await ask_record(self._around), ""
        except FetchError as exc:
            return {}, f"{exc}; the mirror itself was asked"

    def _check_in_sync(
        self, held: Mapping[str, int], told: Mapping[str, int], found: Mapping[str, int]
    ) -> None:
        """Tell of a mirror that has nothing new though the record says that there is."""
        if any(found[name] != held.get(name) for name in found):
            return
        for name, version in found.items():
            if told.get(name, 0) > version:
                raise FetchError(
                    f"{self._around.shown}/{cvd_name(name)}: version {version}, though "
                    f"{self._settings.dns} tells of {told[name]}: the mirror is not in sync",
                    hint="nothing was changed; the next pull asks again",
                )

    async def bring(self, advertised: Advertised, pull: Pull) -> None:
        """Bring each database that is newer than the one held, and signatures that are missing."""
        held = await self._held()
        check_risen(self._around, advertised, held)
        async with self._asking() as asking:
            for name, version in advertised.versions.items():
                if version > held.get(name, 0):
                    await asking.database(name, version, pull)
                else:
                    await asking.sign(name, version)
                    await asking.again(name)

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator["_Asking"]:
        async with VendorClient(self._around.access, self._around.transcript) as client:
            yield _Asking(self._around, client)


def check_risen(around: Surroundings, advertised: Advertised, held: Mapping[str, int]) -> None:
    """Check that a mirror has nothing that is older than what it had before.

    Raises:
        RollbackError: it has.

    """
    for name, version in advertised.versions.items():
        if version < held.get(name, 0):
            raise RollbackError(
                f"{around.shown}/{cvd_name(name)}: version {version}; version {held[name]} was "
                "there before",
                hint="nothing was published; ask who runs that mirror",
            )


@dataclass(frozen=True, slots=True)
class _Asking:
    """The requests of one pull."""

    around: Surroundings
    client: VendorClient

    async def version(self, name: str) -> int:
        """Read a database's version where it lies; the one held if that is still there."""
        headers = {"Range": f"bytes=0-{HEADER_BYTES - 1}"}
        held = await asyncio.to_thread(self.around.working.header, name)
        if held:
            headers["If-Modified-Since"] = format_datetime(held.built, usegmt=True)
        answer = await self.client.ask(
            cvd_name(name), max_bytes=HEADER_BYTES, headers=headers,
            judge=self.around.judge, beginning=True,
        )  # fmt: skip
        if answer.status == 304 and held:
            return held.version
        _check_found(answer)
        return _claimed(answer.data, answer).version

    async def database(self, name: str, version: int, pull: Pull) -> None:
        """Bring a whole database with what belongs to it; it takes its place last."""
        place = self.around.working.folder / cvd_name(name)
        temporary = files.temporary_beside(place)
        try:
            found = await self._whole(name, temporary, pull)
            if found < version:
                raise FetchError(
                    f"{self.around.shown}/{cvd_name(name)}: version {found}, though {version} is "
                    "advertised: the mirror is not in sync",
                    hint="nothing was changed; the next pull asks again",
                )
            signed = await self.sign(name, found)
            known = self.around.working.has_signs(name)
            await self._cdiffs(name, found, signed=signed or known)
            await asyncio.to_thread(files.promote, temporary, place, mode=0o644)
        finally:
            temporary.unlink(missing_ok=True)

    async def sign(self, name: str, version: int) -> bool:
        """Bring a database's detached signature; tell whether there is one."""
        return await self._extra(cvd_sign_name(name, version), MAX_SIGN_BYTES)

    async def _whole(self, name: str, target: Path, pull: Pull) -> int:
        """Save a database and return the version its header claims."""
        limit = Limit(self.around.settings.max_release_bytes, "max_release_bytes")
        bodies = Bodies(self.client, pull.on_bytes)
        answer = await bodies.save(cvd_name(name), target, limit, judge=self._judge_found)
        return _claimed(await asyncio.to_thread(_head, target), answer).version

    def _judge_found(self, answer: Answer) -> None:
        self.around.judge(answer)
        _check_found(answer)

    async def _cdiffs(self, name: str, newest: int, *, signed: bool) -> None:
        """Bring cdiffs from the newest back, as far as there are any and as many as are kept.

        One that the mirror does not have is remembered as an empty file, which means to freshclam
        what it means here: take the whole database.
        """
        keep = self.around.settings.keep_cdiffs
        for version in range(newest, max(newest - keep, 1), -1):
            cdiff = CdiffName(name, version)
            if (self.around.working.folder / str(cdiff)).exists():
                continue
            if not await self._cdiff(cdiff, signed=signed):
                return

    async def again(self, name: str) -> None:
        """Ask once more for cdiffs that were refused; the same bytes are left out then."""
        for hole in await asyncio.to_thread(self.around.working.holes, name):
            await self._cdiff(hole, signed=self.around.working.has_signs(name))

    async def _cdiff(self, cdiff: CdiffName, *, signed: bool) -> bool:
        """Bring one cdiff, its signature first; an empty file stands for one that there is not."""
        if signed:
            await self._extra(sign_name(cdiff), MAX_SIGN_BYTES)
        found = await self._extra(str(cdiff), MAX_CDIFF_BYTES)
        if not found:
            await self._write(str(cdiff), b"")
        return found

    async def _extra(self, file_name: str, max_bytes: int) -> bool:
        """Bring a small file that need not exist; tell whether it does."""
        if (self.around.working.folder / file_name).exists():
            return True
        answer = await self.client.ask(file_name, max_bytes=max_bytes, judge=self.around.judge)
        if answer.status in _GONE or (answer.status in _GOOD and not answer.data):
            return False
        _check_found(answer)
        cdiff = CdiffName.parse(file_name)
        if cdiff and self.around.working.was_refused(cdiff, answer.data):
            return False
        await self._write(file_name, answer.data)
        return True

    async def _write(self, file_name: str, data: bytes) -> None:
        path = self.around.working.folder / file_name
        try:
            await asyncio.to_thread(files.write, path, data)
        except OSError as exc:
            raise StateError(f"{path}: {exc.strerror or exc}") from exc


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BYTES)


def _claimed(head: bytes, answer: Answer) -> Header:
    """Read a header that nobody vouches for; a page in its place is a block.

    Raises:
        BlockPageError, FormatError: it is none.

    """
    try:
        return read_header(head, answer.address)
    except FormatError as exc:
        if head.lstrip().startswith(b"<"):
            raise BlockPageError(str(exc)) from exc
        raise


def _check_found(answer: Answer) -> None:
    if answer.status in _GOOD:
        return
    if 400 <= answer.status < 500:
        raise RefusedError(f"{answer.address}: {answer.status}", hint="check url and databases")
    raise FetchError(f"{answer.address}: {answer.status}")

"""A watched folder: whatever lies in it, once nobody writes any more, is the next release.

A release is taken when every file stayed the same for ``quiet_seconds``, or, with ``marker``, when
that file is there. It is named after its newest file's time and its content.
"""

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path

from keys.errors import FetchError, SettingsError
from keys.model.release import Assurance, Provenance, encode
from mirror.feeds import UpstreamSettings
from mirror.upstream import tree
from mirror.upstream.base import Candidate, Offer, Pull
from mirror.upstream.transcript import Transcript
from mirror.upstream.tree import Scan

MAX_QUIET_PERIODS = 6  # then the pull is given up and tried again later


class DropUpstream:
    """Releases from a folder on this machine.

    Raises:
        SettingsError: something is to be verified, and nothing in a folder is.

    """

    kind = "drop"
    passes_through = False
    remote = False
    lacks: tuple[str, ...] = ()

    def __init__(self, settings: UpstreamSettings) -> None:
        if settings.verify:
            raise SettingsError(
                f"upstream {settings.name}: verify: nothing that lies in a folder is verified",
                hint="leave verify out, and restrict who may write into the folder",
            )
        self.name = settings.name
        self.transcript = Transcript()
        self._settings = settings
        self._folder = Path(settings.folder)

    async def check(self, *, now: datetime) -> Offer:  # noqa: ARG002 - of the contract
        """Look at names, sizes and times only."""
        found = await self._scan()
        marker = self._settings.marker
        if marker and found == found.without(marker):
            return self._offer("", f"waiting for the file {marker}")
        files = found.without(marker)
        if not files.entries:
            raise self._empty()
        return self._offer(found.signature, f"{len(files.entries)} files", files.length)

    def _offer(self, version: str, status: str, length: int | None = None) -> Offer:
        return Offer(version, str(self._folder), status, length, Assurance.none)

    async def fetch(self, quarantine: Path, pull: Pull) -> Candidate:
        """Copy the folder once it is quiet; give up when it changes meanwhile."""
        found = await self._settled()
        files = found.without(self._settings.marker)
        if not files.entries:
            raise self._empty()
        copied = await asyncio.to_thread(
            tree.copy, self._folder, files.entries, quarantine, on_bytes=pull.on_bytes
        )
        if await self._scan() != found:
            raise FetchError(
                f"{self._folder}: changed while it was read",
                hint="nothing was published; the folder is read again once it is quiet",
            )
        newest = datetime.fromtimestamp(files.newest.modified_ns // 10**9, UTC)
        content = hashlib.sha256(encode(copied)).hexdigest()
        return Candidate(
            release=f"{newest:%Y%m%dT%H%M%SZ}-{content[:8]}",
            vendor_time=None,
            assurance=Assurance.none,
            provenance=Provenance(upstream=self.kind),
            folder=quarantine,
            files=copied,
        )

    async def settle(self) -> None:
        """Do nothing: the next look compares what it sees."""

    async def _settled(self) -> Scan:
        """Wait until two looks, ``quiet_seconds`` apart, see the same."""
        before = await self._scan()
        if self._settings.marker:
            return before
        for _ in range(MAX_QUIET_PERIODS):
            await asyncio.sleep(self._settings.quiet_seconds)
            found = await self._scan()
            if found == before:
                return found
            before = found
        raise FetchError(
            f"{self._folder}: still being written to",
            hint="nothing was published; the folder is read again once it is quiet",
        )

    def _empty(self) -> FetchError:
        return FetchError(f"{self._folder}: no files; an empty folder is never a release")

    async def _scan(self) -> Scan:
        return await asyncio.to_thread(
            tree.scan,
            self._folder,
            max_files=self._settings.max_files,
            max_bytes=self._settings.max_release_bytes,
        )

"""Files and archives from a plain web server, verified as the settings demand."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from keys.errors import DigestError, FetchError, RollbackError, SettingsError, SignatureError
from keys.model.release import Provenance
from keys.trust.vendor.verdict import strongest, weakest
from mirror.feed_rules import promised, unsigned_refusal
from mirror.upstream.access import Access
from mirror.upstream.auth import Auth
from mirror.upstream.base import Candidate, Feed, Offer, Pull
from mirror.upstream.client import VendorClient
from mirror.upstream.http import versions
from mirror.upstream.http.asking import Asking
from mirror.upstream.http.contents import Contents, contents
from mirror.upstream.http.fetching import Fetched, Fetching
from mirror.upstream.http.kept import Kept
from mirror.upstream.http.memory import Memory, Signed, check_order, signed_times
from mirror.upstream.http.naming import release_name, vendor_time
from mirror.upstream.http.sources import Source, sources, version_address
from mirror.upstream.http.verifying import read_keys
from mirror.upstream.transcript import Transcript

_MIXED = (DigestError, SignatureError)  # also what a vendor in the middle of an update looks like
MAX_TOLD_CHARACTERS = 500  # of a text in the manifest
_ORDERED = ("last-modified", "version-file", "json-pointer", "dns-txt")


class HttpUpstream:
    """Releases from the addresses that the settings name."""

    kind = "http"
    passes_through = False
    remote = True
    lacks: tuple[str, ...] = ()

    def __init__(self, feed: Feed, auth: Auth) -> None:
        self.name = feed.settings.name
        self._settings = feed.settings
        self._feed = feed
        self._auth = auth
        self._access = Access.of(feed.settings, auth)
        self._redactor = self._access.redactor
        self.transcript = Transcript(self._redactor)
        self._memory = Memory(feed.folder)
        self._known = ""  # the version that `check` saw in this pull
        self._signed: Signed = {}  # and when what it fetched was signed

    async def check(self, *, now: datetime) -> Offer:  # noqa: ARG002 - of the contract
        """Ask for what tells the version, and for nothing else."""
        with self._redactor.guard():
            async with VendorClient(self._access, self.transcript) as client:
                signal = await self._asking().ask(client)
        self._known = signal.version
        return Offer(
            version=self._redactor.secrets(signal.version),
            address=self._address,
            status=signal.status,
            length=signal.length,
            assurance=promised(self._settings.verify),
            unchanged=signal.unchanged,
        )

    async def fetch(self, quarantine: Path, pull: Pull) -> Candidate:
        """Bring every file and hold the checks; once more if the vendor was at work meanwhile."""
        if reason := unsigned_refusal(self._settings):
            raise SettingsError(f"upstream {self.name}: {reason}")
        with self._redactor.guard():
            keys = await asyncio.to_thread(read_keys, self._settings)
            async with VendorClient(self._access, self.transcript) as client:
                github = self._github_release()
                fetching = Fetching(
                    self._settings, client, keys, github, quarantine, pull, self._kept()
                )
                version, fetched = await self._settled(fetching)
            await self._check_signed(fetched)
            await fetching.keep(fetched)
            brought = await asyncio.to_thread(contents, fetched, fetching)
            return self._candidate(version, fetched, brought, quarantine)

    async def settle(self) -> None:
        """Remember when what is published was signed."""
        if self._signed:
            await asyncio.to_thread(self._memory.add, self._signed)

    async def _check_signed(self, fetched: tuple[Fetched, ...]) -> None:
        self._signed = signed_times(fetched)
        if self._signed:
            before = await asyncio.to_thread(self._memory.read)
            check_order(self._signed, before, self._address)

    @property
    def _address(self) -> str:
        return self._redactor.text(self._settings.url)

    def _kept(self) -> Kept | None:
        """Keep files where there are several: of one, only what changed is brought anyway."""
        several = len(self._settings.names) > 1 and not self._auth.form
        return Kept(self._feed.folder / "kept") if several else None

    def _asking(self) -> Asking:
        found = sources(self._settings, self._auth)
        return Asking(self._settings, self._auth, found, self._feed.last)

    def _github_release(self) -> Source | None:
        if "github-digest" not in self._settings.verify:
            return None
        return Source("version_at", version_address(self._settings, self._auth))

    async def _settled(self, fetching: Fetching) -> tuple[str, tuple[Fetched, ...]]:
        """Fetch what is of one piece: the version is the same before and after it.

        Raises:
            FetchError: it changed while it was read, twice.
            RollbackError: it is older than what was pulled last.

        """
        asking, client = self._asking(), fetching.client
        before = self._known or (await asking.ask(client)).version
        self._check_order(before)
        first: tuple[Fetched, ...] = ()
        try:
            first = await fetching.bring(asking.sources)
            after = await asking.version_of(first, client)
            if versions.agree(before, after):
                return after, first
        except _MIXED:
            after = (await asking.ask(client)).version
        second = await fetching.bring(asking.sources, whole=True)
        again = await asking.version_of(second, client)
        if not versions.agree(after, again) and _pins(first) != _pins(second):
            raise FetchError(
                f"{self._address}: changed while it was read, twice",
                hint="nothing was published; the next pull tries again",
            )
        self._check_order(again)
        return again, second

    def _check_order(self, version: str) -> None:
        last = self._feed.last
        if self._settings.version in _ORDERED and versions.is_older(version, last):
            raise RollbackError(
                f"{self._address}: offers version {version}, older than {last}, pulled before",
                hint="if the vendor went back on purpose, remove the file state/upstreams/"
                f"{self.name}.json below the mirror's folder",
            )

    def _candidate(
        self, version: str, fetched: tuple[Fetched, ...], brought: Contents, folder: Path
    ) -> Candidate:
        made = vendor_time(fetched)
        version = self._redactor.secrets(version)
        found = tuple(one.verified.verdicts for one in fetched)
        counts = [verdict.signatures for verdicts in found for verdict in verdicts]
        known = [count for count in counts if count is not None]
        return Candidate(
            release=release_name(self._settings.version, version, made, brought.files),
            vendor_time=made,
            assurance=weakest(tuple(strongest(verdicts) for verdicts in found)),
            provenance=Provenance(
                upstream=self._settings.preset or self.kind,
                url=self._address[:MAX_TOLD_CHARACTERS],
                vendor_version="" if version == versions.UNKNOWN else version,
            ),
            folder=folder,
            files=brought.files,
            originals=brought.originals,
            signatures=sum(known) if len(known) == len(fetched) else None,
        )


def _pins(fetched: Iterable[Fetched]) -> list[tuple[str, str]]:
    return [(one.file.path, one.file.sha256) for one in fetched]

"""The files of one release brought into a folder, each verified before it counts."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from multidict import CIMultiDict

from keys.errors import FetchError, FormatError, LimitError
from keys.model.release import File, Pin
from keys.trust.vendor.recognise import HEAD_BYTES, describe
from mirror.feeds import UpstreamSettings
from mirror.upstream import answers
from mirror.upstream.answers import BlockPageError
from mirror.upstream.base import Pull
from mirror.upstream.bodies import Bodies, Limit
from mirror.upstream.client import NOT_MODIFIED, Answer, VendorClient
from mirror.upstream.http.kept import Kept, KeptFile
from mirror.upstream.http.sources import Source
from mirror.upstream.http.verifying import Verified, Verifier

_PAGE = (b"<!doctype html", b"<html", b"<head", b"<body")
_PAGE_SUFFIXES = (".html", ".htm", ".xhtml")
_POINTER = b"version https://git-lfs.github.com/"


@dataclass(frozen=True, slots=True)
class Fetched:
    """One file that passed: its headers, and everything that vouches for it."""

    source: Source
    file: File
    headers: Mapping[str, str]
    verified: Verified


@dataclass(frozen=True, slots=True)
class Fetching:
    """The downloads of one pull into a folder."""

    settings: UpstreamSettings
    client: VendorClient
    keys: tuple[bytes, ...]
    release: Source | None
    folder: Path
    pull: Pull
    kept: Kept | None = None  # where of many files those of the last pull lie

    async def bring(
        self, sources: tuple[Source, ...], *, whole: bool = False
    ) -> tuple[Fetched, ...]:
        """Bring and verify every file, one after the other; ``whole``: unchanged ones, too.

        Raises:
            TrustError: not what the vendor vouches for, or no definitions at all.
            CredentialError, FetchError, LimitError: it did not come.

        """
        verifier = Verifier(self.settings, self.keys, self._sidecar, self.release, self.pull.now)
        held = await asyncio.to_thread(self.kept.read) if self.kept and not whole else {}
        found: list[Fetched] = []
        for source in sources:
            left = self.settings.max_release_bytes - sum(one.file.length for one in found)
            found.append(await self._file(source, verifier, left, held.get(source.path)))
        if not any(one.file.length for one in found):
            raise FormatError(f"{found[0].source.path}: empty (0 bytes), as is the whole release")
        return tuple(found)

    async def keep(self, fetched: tuple[Fetched, ...]) -> None:
        """Keep the files for the next pull."""
        if self.kept:
            brought = [
                (one.file, self.folder / one.file.path, self._harmless(one.headers))
                for one in fetched
            ]
            await asyncio.to_thread(self.kept.keep, brought)

    def _harmless(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Leave out headers in which the vendor repeats the credential."""
        holds = self.client.transcript.redactor.holds
        return CIMultiDict((name, value) for name, value in headers.items() if not holds(value))

    async def _file(
        self, source: Source, verifier: Verifier, left: int, held: KeptFile | None
    ) -> Fetched:
        path = self.folder / source.path
        await asyncio.to_thread(partial(path.parent.mkdir, parents=True, exist_ok=True))
        headers = await self._save(source, path, left, held)
        verified = await verifier.verify(source, path, headers)
        pin = await asyncio.to_thread(_pin, path)
        file = File(source.path, pin.sha256, pin.length, verified.told)
        return Fetched(source, file, headers, verified)

    async def _save(
        self, source: Source, path: Path, left: int, held: KeptFile | None
    ) -> Mapping[str, str]:
        """Bring a file, or take the kept one where it did not change; return its headers."""
        answer = await Bodies(self.client, self.pull.on_bytes).save(
            source.address, path, Limit(left, "max_release_bytes"),
            headers=held.condition if held else {},
            judge=partial(judge_whole, self.settings, conditional=held is not None),
        )  # fmt: skip
        if held and answer.status == NOT_MODIFIED:
            if held.length > left:
                raise LimitError(f"{answer.address}: more than max_release_bytes={left}")
            await asyncio.to_thread(self._restore, held, path)
            return held.headers
        await asyncio.to_thread(_check_content, path, source.path, answer)
        return answer.headers

    def _restore(self, held: KeptFile, path: Path) -> None:
        assert self.kept is not None  # noqa: S101 - `held` came out of it
        self.kept.restore(held, path)

    async def _sidecar(self, source: Source, max_bytes: int) -> bytes:
        answer = await self.client.ask(
            source.address, max_bytes=max_bytes, judge=partial(judge_whole, self.settings)
        )
        return answer.data


def judge(settings: UpstreamSettings, answer: Answer) -> None:
    """Accept an answer of this feed's; raises as ``answers.check_feed``."""
    answers.check_feed(
        answer.status, answer.headers, answer.address,
        credentialed=answer.credentialed, missing_means_blocked=settings.missing_means_blocked,
    )  # fmt: skip


def judge_whole(settings: UpstreamSettings, answer: Answer, *, conditional: bool = False) -> None:
    """Accept a whole body, or 304 where a condition was sent; raises as ``judge``, else FetchError.

    A part nobody asked for would be a cut file.
    """
    judge(settings, answer)
    if answer.status != 200 and not (conditional and answer.status == NOT_MODIFIED):
        raise FetchError(f"{answer.address}: {answer.status}, which was not asked for")


def _check_content(path: Path, name: str, answer: Answer) -> None:
    """Refuse a page or a pointer where definitions were expected."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    if start.startswith(_PAGE) and not name.lower().endswith(_PAGE_SUFFIXES):
        raise BlockPageError(f"{answer.address}: not {name} but {describe(head)}")
    if head.startswith(_POINTER):
        raise FormatError(f"{answer.address}: not {name} but {describe(head)}")


def _pin(path: Path) -> Pin:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Pin(digest, file.tell())

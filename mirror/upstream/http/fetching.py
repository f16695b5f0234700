"""The files of one release brought into a folder, each verified before it counts."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from keys.errors import FormatError
from keys.model.release import File, Pin
from keys.trust.vendor.recognise import HEAD_BYTES, describe
from mirror.feeds import UpstreamSettings
from mirror.upstream import answers
from mirror.upstream.answers import BlockPageError
from mirror.upstream.base import Pull
from mirror.upstream.client import Answer, VendorClient
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

    async def bring(self, sources: tuple[Source, ...]) -> tuple[Fetched, ...]:
        """Bring and verify every file, one after the other.

        Raises:
            TrustError: not what the vendor vouches for, or no definitions at all.
            CredentialError, FetchError, LimitError: it did not come.

        """
        verifier = Verifier(self.settings, self.keys, self._sidecar, self.release, self.pull.now)
        found: list[Fetched] = []
        for source in sources:
            left = self.settings.max_release_bytes - sum(one.file.length for one in found)
            found.append(await self._file(source, verifier, left))
        if not any(one.file.length for one in found):
            raise FormatError(f"{found[0].source.path}: empty (0 bytes), as is the whole release")
        return tuple(found)

    async def _file(self, source: Source, verifier: Verifier, left: int) -> Fetched:
        path = self.folder / source.path
        await asyncio.to_thread(partial(path.parent.mkdir, parents=True, exist_ok=True))
        answer = await self.client.save(
            source.address, path, max_bytes=left, limit="max_release_bytes",
            judge=partial(judge, self.settings), on_bytes=self.pull.on_bytes,
        )  # fmt: skip
        await asyncio.to_thread(_check_content, path, source.path, answer)
        verified = await verifier.verify(source, path, answer.headers)
        pin = await asyncio.to_thread(_pin, path)
        file = File(source.path, pin.sha256, pin.length, verified.told)
        return Fetched(source, file, answer.headers, verified)

    async def _sidecar(self, source: Source, max_bytes: int) -> bytes:
        answer = await self.client.ask(
            source.address, max_bytes=max_bytes, judge=partial(judge, self.settings)
        )
        return answer.data


def judge(settings: UpstreamSettings, answer: Answer) -> None:
    """Accept an answer of this feed's; raises as ``answers.check_feed``."""
    answers.check_feed(
        answer.status, answer.headers, answer.address,
        credentialed=answer.credentialed, missing_means_blocked=settings.missing_means_blocked,
    )  # fmt: skip


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

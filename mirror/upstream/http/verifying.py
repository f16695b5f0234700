"""Everything ``verify`` lists, for one file: its sidecars fetched, each check must pass."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec

from keys import files
from keys.errors import DigestError, FormatError, SettingsError, UsageError
from keys.trust.vendor import digest, minisign, openpgp
from keys.trust.vendor.cvd import verify_cvd
from keys.trust.vendor.recognise import describe
from keys.trust.vendor.verdict import Verdict
from mirror.feeds import UpstreamSettings
from mirror.upstream.answers import stated_length
from mirror.upstream.http.sources import Source

MAX_KEY_BYTES = 4 << 20
MAX_RELEASE_BYTES = 4 << 20  # of what GitHub tells of one release

Sidecar = Callable[[Source, int], Awaitable[bytes]]
"""Bring a small file, at most so many bytes."""


class _Asset(msgspec.Struct, frozen=True):
    """One file of a release on GitHub; its API says more."""

    name: str
    digest: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class _GithubRelease(msgspec.Struct, frozen=True):
    assets: tuple[_Asset, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """What passed: the verdicts on one file, and the sidecars that went into them, by path."""

    verdicts: tuple[Verdict, ...]
    sidecars: Mapping[str, bytes]

    @property
    def told(self) -> str:
        """What the checks were and who signed, for the file's provenance."""
        return ", ".join(f"{one.scheme} {one.signer}".strip() for one in self.verdicts)


def read_keys(settings: UpstreamSettings) -> tuple[bytes, ...]:
    """Read the public keys the settings name.

    Raises:
        SettingsError: a file cannot be read, or is larger than ``MAX_KEY_BYTES``.

    """
    return tuple(
        files.read(Path(name), max_bytes=MAX_KEY_BYTES, limit="MAX_KEY_BYTES", error=SettingsError)
        for name in settings.verify_keys
    )


def check_keys(settings: UpstreamSettings) -> None:
    """Refuse key files that the checks of the settings cannot use.

    Raises:
        SettingsError: as ``read_keys``; a file that holds no such key, by its name.

    """
    readers = [reader for scheme, reader in _KEY_READERS.items() if scheme in settings.verify]
    for name, data in zip(settings.verify_keys, read_keys(settings), strict=True):
        for reader in readers:
            try:
                reader(data)
            except UsageError as exc:
                raise SettingsError(
                    f"upstream {settings.name}: verify_keys: {name}: {exc}", hint=exc.hint
                ) from exc


_KEY_READERS: Mapping[str, Callable[[bytes], object]] = {
    "openpgp": openpgp.read_certificates,
    "minisign": minisign.read_public,
}


@dataclass(slots=True)
class Verifier:
    """The checks of one pull; ``release`` is where GitHub tells of the release's files."""

    settings: UpstreamSettings
    keys: tuple[bytes, ...]
    fetch: Sidecar
    release: Source | None
    now: datetime
    _digests: dict[str, str] | None = field(default=None, init=False)

    async def verify(self, source: Source, path: Path, headers: Mapping[str, str]) -> Verified:
        """Hold every listed check against a file that lies at ``path``.

        Raises:
            TrustError: one of them fails, or its sidecar is none.
            FetchError, LimitError, CredentialError: a sidecar did not come.
            UsageError: the keys of the settings cannot be used.

        """
        sidecars: dict[str, bytes] = {}
        verdicts = [
            await self._check(scheme, source, path, headers, sidecars)
            for scheme in self.settings.verify
        ]
        return Verified(tuple(verdicts), sidecars)

    async def _check(
        self, scheme: str, source: Source, path: Path, headers: Mapping[str, str],
        sidecars: dict[str, bytes],
    ) -> Verdict:  # fmt: skip
        if scheme in SIDECAR_SUFFIXES:
            beside = source.beside(suffix_of(scheme, self.settings))
            sidecars[beside.path] = await self.fetch(beside, SIDECAR_BYTES)
            return await self._by_sidecar(scheme, source, path, sidecars[beside.path])
        if scheme == "cvd":
            return await asyncio.to_thread(_verify_cvd, path, source.path)
        if scheme == "size":
            return _verify_size(path, source.path, headers)
        expected = await self._github_digest(source)
        check = partial(digest.verify_digest, path, "sha256", expected, source.path)
        return await asyncio.to_thread(check)

    async def _by_sidecar(self, scheme: str, source: Source, path: Path, data: bytes) -> Verdict:
        name = source.path
        if scheme == "openpgp":
            check = partial(
                openpgp.verify_openpgp, path, data, self.keys, self.settings.fingerprints, name,
                at=self.now,
            )  # fmt: skip
        elif scheme == "minisign":
            check = partial(minisign.verify_minisign, path, data, self.keys, name)
        else:
            known = _SCHEMES[scheme]
            expected = digest.read_sidecar(data, known, source.vendor_name)
            check = partial(digest.verify_digest, path, known, expected, name)
        return await asyncio.to_thread(check)

    async def _github_digest(self, source: Source) -> str:
        if self._digests is None:
            self._digests = await self._read_release()
        kind, _, expected = self._digests.get(source.vendor_name, "").partition(":")
        if kind != "sha256":
            raise FormatError(f"{source.path}: GitHub states no sha256 digest of it")
        return expected

    async def _read_release(self) -> dict[str, str]:
        if self.release is None:
            raise SettingsError(f"upstream {self.settings.name}: version_at: missing")
        data = await self.fetch(self.release, MAX_RELEASE_BYTES)
        try:
            found = msgspec.json.decode(data, type=_GithubRelease)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise FormatError(
                f"{self.release.path}: not a release of GitHub's API but {describe(data)}"
            ) from None
        return {asset.name: asset.digest or "" for asset in found.assets}


_SCHEMES: Mapping[str, digest.DigestScheme] = {one: one for one in digest.DIGEST_SCHEMES}
SIDECAR_SUFFIXES = {
    **{one: f".{one}" for one in _SCHEMES},
    "openpgp": ".asc",
    "minisign": ".minisig",
}
SIDECAR_BYTES = max(
    digest.MAX_SIDECAR_BYTES, openpgp.MAX_SIGNATURE_BYTES, minisign.MAX_SIGNATURE_BYTES
)


def suffix_of(scheme: str, settings: UpstreamSettings) -> str:
    """Tell what a sidecar is called: the file's name and this."""
    return settings.signature_suffix if scheme == "openpgp" else SIDECAR_SUFFIXES[scheme]


def _verify_cvd(path: Path, name: str) -> Verdict:
    with path.open("rb") as file:
        return verify_cvd(file, name).verdict


def _verify_size(path: Path, name: str, headers: Mapping[str, str]) -> Verdict:
    length = stated_length(headers)
    if length is None:
        raise DigestError(f"{name}: the vendor states no length")
    return digest.verify_size(path, length, name)

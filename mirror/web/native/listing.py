"""What the pages below ``/files/`` tell, as values: programs read them as JSON (pure)."""

import re
from collections.abc import Iterable
from datetime import datetime

import msgspec

from keys.model.release import Content, File, Manifest
from mirror.web.native.shelf import Shelf

_VERSION = re.compile(r"(?<![0-9.])[0-9]{1,9}(?:\.[0-9]{1,9}){1,4}(?![0-9])")


class Listed(msgspec.Struct, frozen=True):
    """One plain file; ``signed`` says that a ``.minisig`` stands beside it."""

    path: str
    version: str
    length: int
    published: datetime
    sha256: str
    signed: bool


class Edition(msgspec.Struct, frozen=True):
    """One release of a channel."""

    sequence: int
    release: str
    published: datetime
    assurance: str


class ReleasePage(msgspec.Struct, frozen=True):
    """One release and its files, sorted by path."""

    channel: str
    content: Content
    engine: str
    redistribution: str
    sequence: int
    release: str
    published: datetime
    public_key: bool
    files: tuple[Listed, ...]


class ChannelPage(msgspec.Struct, frozen=True):
    """One channel: its latest release as the visitor gets it, and all that are kept."""

    channel: str
    latest: ReleasePage
    releases: tuple[Edition, ...]


class RootPage(msgspec.Struct, frozen=True):
    """The latest release of every channel that the visitor may have."""

    channels: tuple[ReleasePage, ...]


def release_page(shelf: Shelf) -> ReleasePage:
    """Describe a release."""
    manifest = shelf.manifest
    return ReleasePage(
        channel=manifest.channel,
        content=manifest.content,
        engine=manifest.engine,
        redistribution=manifest.redistribution,
        sequence=manifest.sequence,
        release=manifest.release,
        published=manifest.published,
        public_key=bool(shelf.sidecars.key),
        files=tuple(_listed(file, shelf) for file in shelf.files.values()),
    )


def _listed(file: File, shelf: Shelf) -> Listed:
    return Listed(
        path=file.path,
        version=version(file.path, shelf.manifest),
        length=file.length,
        published=shelf.manifest.published,
        sha256=file.sha256,
        signed=file.path in shelf.sidecars.signatures,
    )


def version(path: str, manifest: Manifest) -> str:
    """Tell a file's version: the one in its name, else the vendor's, else the release."""
    found = _VERSION.search(path.rpartition("/")[2])
    return found[0] if found else manifest.provenance.vendor_version or manifest.release


def channel_page(latest: ReleasePage, releases: Iterable[Manifest]) -> ChannelPage:
    """Describe a channel; its newest release comes first."""
    editions = (
        Edition(one.sequence, one.release, one.published, one.assurance.value) for one in releases
    )
    return ChannelPage(
        latest.channel,
        latest,
        tuple(sorted(editions, key=lambda edition: edition.sequence, reverse=True)),
    )

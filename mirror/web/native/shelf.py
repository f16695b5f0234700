"""The plain files of a release, and what stands beside each: its checksum and its signature.

A file that is named like another one's sidecar is itself: what a release holds comes first.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from keys.model.release import File, Manifest
from keys.model.sidecars import MAX_SIDECARS_BYTES, Sidecars, decode_sidecars, sidecars_target
from mirror.offers import Offer
from mirror.web.native.index import NativeIndex
from mirror.web.native.plain import PUBLIC_KEY

NO_SIDECARS = Sidecars()
CHECKSUM = ".sha256"
SIGNATURE = ".minisig"
_CONTAINER, _MADE = ".cvd", ".cld"
MAX_FILES_KNOWN = 200_000  # of all releases that are kept in memory together


@dataclass(frozen=True, slots=True)
class Shelf:
    """One release's plain files by path, sorted, the vendor's own containers among them."""

    manifest: Manifest
    files: Mapping[str, File] = field(default_factory=dict)
    sidecars: Sidecars = NO_SIDECARS

    def beside(self, path: str) -> bytes | None:
        """Return the sidecar of this name, made from what is known; None where there is none."""
        if path in self.files:
            return None
        if path == PUBLIC_KEY:
            return self.sidecars.key.encode() or None
        if path.endswith(SIGNATURE):
            return self.sidecars.signatures.get(path.removesuffix(SIGNATURE), "").encode() or None
        file = self.files.get(path.removesuffix(CHECKSUM))
        return checksum(file) if file else None


def checksum(file: File) -> bytes:
    """Write what `sha256sum -c` reads beside a file."""
    return f"{file.sha256}  {file.path.rpartition('/')[2]}\n".encode()


class Shelves:
    """Releases read lately, by what their manifests pin: no change makes one of them wrong."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Shelf] = OrderedDict()
        self._reading = asyncio.Lock()

    async def get(self, index: NativeIndex, offer: Offer, manifest: Manifest) -> Shelf:
        """Return a release's shelf.

        Raises:
            StoreError: its file list or its sidecars are missing or damaged.

        """
        key = f"{offer.repository}/{manifest.channel}/{manifest.sequence}/{manifest.published}"
        async with self._reading:
            if (known := self._known.get(key)) and known.manifest == manifest:
                self._known.move_to_end(key)
                return known
            found = await _read(index, offer, manifest)
            self._known[key] = found
            self._forget()
        return found

    def _forget(self) -> None:
        while sum(len(one.files) for one in self._known.values()) > MAX_FILES_KNOWN:
            if len(self._known) == 1:
                return
            self._known.popitem(last=False)


async def _read(index: NativeIndex, offer: Offer, manifest: Manifest) -> Shelf:
    originals = {file.path: file for file in manifest.originals}
    own = [one for one in await index.files(offer, manifest) if not _is_made(one, originals)]
    both = {file.path: file for file in (*own, *manifest.originals)}
    files = {path: both[path] for path in sorted(both)}
    return Shelf(manifest, files, await _sidecars(index, offer, manifest))


def _is_made(file: File, originals: Mapping[str, File]) -> bool:
    """Tell a database that was made of a container beside it: freshclam would take it unchecked."""
    return file.path.endswith(_MADE) and file.path.removesuffix(_MADE) + _CONTAINER in originals


async def _sidecars(index: NativeIndex, offer: Offer, manifest: Manifest) -> Sidecars:
    if manifest.sidecars is None:
        return NO_SIDECARS
    target = sidecars_target(manifest.channel, manifest.sequence)
    data = await index.document(offer, target, manifest.sidecars, max_bytes=MAX_SIDECARS_BYTES)
    return await asyncio.to_thread(decode_sidecars, data, target)

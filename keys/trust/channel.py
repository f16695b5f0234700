"""What a trusted repository says of its channels: pointers, policy, manifests, file lists.

Every value is checked against the pin that vouches for it before it is decoded.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from keys.errors import DigestError, LimitError, TrustError
from keys.model import fragment, ignore, release
from keys.model.ignore import IgnoreList
from keys.model.names import check_channel
from keys.model.release import File, Manifest, Pin, Pointer, Policy
from keys.trust.repository import Repository
from keys.trust.source import MetadataSource

Read = Callable[[str, Pin, int], bytes]
"""Fetch the bytes of (target, pin, max_bytes)."""

T = TypeVar("T")


class Channels:
    """The channels of one repository that was refreshed or loaded."""

    def __init__(self, repository: Repository, source: MetadataSource, read: Read) -> None:
        self._repository = repository
        self._source = source
        self._read = read

    def pointer(self, channel: str, track: str) -> Pointer | None:
        """Return what a track points at, or None where the channel has no such track.

        Raises:
            TrustError: a role or the pointer is refused.

        """
        target = release.track_target(check_channel(channel), track)
        return self._optional(target, Pointer, release.MAX_POINTER_BYTES)

    def policy(self, repository: str, channel: str) -> Policy | None:
        """Return this site's choice for a channel of another repository, or None.

        Raises:
            TrustError: a role or the policy is refused.

        """
        target = release.policy_target(repository, check_channel(channel))
        return self._optional(target, Policy, release.MAX_POINTER_BYTES)

    def licence_status(self) -> release.LicenceStatus | None:
        """Return the site's own licence dates, or None where it publishes none."""
        target = release.LICENCE_STATUS_TARGET
        return self._optional(target, release.LicenceStatus, release.MAX_MANIFEST_BYTES)

    def fragment(self) -> bytes | None:
        """Return the settings this site signs for its hosts, not decoded, or None.

        Raises:
            TrustError: a role is refused.

        """
        target = fragment.FRAGMENT_TARGET
        pin = self._repository.find(target, self._source)
        return self._fetch(target, pin, fragment.MAX_FRAGMENT_BYTES) if pin else None

    def ignore_list(self) -> IgnoreList | None:
        """Return what this site has its hosts ignore, or None where it never said.

        Raises:
            TrustError: a role or the list is refused.

        """
        found = self._optional(ignore.IGNORE_TARGET, IgnoreList, ignore.MAX_IGNORE_BYTES)
        for entry in found.entries if found else ():
            self._repository.witness(entry.added)
        return found

    def pointed(self, channel: str, pointer: Pointer) -> Manifest:
        """Return the manifest a pointer names, by sequence and digest.

        Raises:
            DigestError: the channel's role pins another manifest for that sequence.
            TrustError: there is none, or it is refused.

        """
        target = release.manifest_target(check_channel(channel), pointer.sequence)
        pin = self._pin(target)
        if pin.sha256 != pointer.manifest_sha256:
            raise DigestError(
                f"{self._what(target)}: the pointer names the sha256 {pointer.manifest_sha256}, "
                f"the role {pin.sha256}"
            )
        return self._manifest(channel, pointer.sequence, pin)

    def manifest(self, channel: str, sequence: int) -> Manifest:
        """Return the manifest of a release.

        Raises:
            TrustError: there is none, or it is refused.

        """
        target = release.manifest_target(check_channel(channel), sequence)
        return self._manifest(channel, sequence, self._pin(target))

    def manifest_pins(self, channel: str) -> dict[int, Pin]:
        """List the releases a channel has, by sequence, newest first.

        Raises:
            MissingError: the repository has no such channel.

        """
        folder = release.manifest_target(check_channel(channel), 1).rpartition("/")[0]
        listed = self._repository.targets_of(channel, self._source, via=f"{folder}/1.json")
        found = {}
        for target, pin in listed.items():
            place, _, name = target.rpartition("/")
            number = name.removesuffix(".json")
            if place == folder and number.isascii() and number.isdigit():
                found[int(number)] = pin
        return dict(sorted(found.items(), reverse=True))

    def manifests(self, channel: str) -> Iterator[tuple[Pin, Manifest]]:
        """Yield a channel's manifests with their pins, newest first, read as they are asked for.

        Raises:
            MissingError: the repository has no such channel.
            TrustError: a manifest is refused.

        """
        for sequence, pin in self.manifest_pins(channel).items():
            yield pin, self._manifest(channel, sequence, pin)

    def files(self, manifest: Manifest) -> tuple[File, ...]:
        """Return a release's files.

        Raises:
            TrustError: not the pinned list, or a path in it that must not be used.

        """
        target = release.file_list_target(manifest.channel, manifest.sequence)
        data = self._fetch(target, manifest.file_list, release.MAX_FILE_LIST_BYTES)
        return release.decode_file_list(data, self._what(target))

    def _manifest(self, channel: str, sequence: int, pin: Pin) -> Manifest:
        target = release.manifest_target(channel, sequence)
        data = self._fetch(target, pin, release.MAX_MANIFEST_BYTES)
        manifest = release.decode(data, Manifest, self._what(target))
        if (manifest.channel, manifest.sequence) != (channel, sequence):
            raise TrustError(
                f"{self._what(target)}: is of {manifest.channel} release {manifest.sequence}"
            )
        self._repository.witness(manifest.published)
        return manifest

    def _optional(self, target: str, kind: type[T], max_bytes: int) -> T | None:
        pin = self._repository.find(target, self._source)
        if pin is None:
            return None
        return release.decode(self._fetch(target, pin, max_bytes), kind, self._what(target))

    def _pin(self, target: str) -> Pin:
        pin = self._repository.find(target, self._source)
        if pin is None:
            raise TrustError(f"{self._what(target)}: no trusted role lists it")
        return pin

    def _fetch(self, target: str, pin: Pin, max_bytes: int) -> bytes:
        if pin.length > max_bytes:
            raise LimitError(f"{self._what(target)}: {pin.length} bytes, more than {max_bytes}")
        return pin.check(self._read(target, pin, max_bytes), self._what(target))

    def _what(self, target: str) -> str:
        return f"repository {self._repository.name}: {target}"

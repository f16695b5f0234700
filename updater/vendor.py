"""Is a database what its own vendor signed? Asked on this host, before any engine reads it.

The mirror asked the same before it published; this host asks again, so that who holds the
mirror's keys, or broke into it, still cannot change a vendor's database. What was in force already
was asked about when it came.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

from keys.errors import LimitError, StateError, TrustError
from keys.model.release import File
from updater import quarantine
from updater.engines.base import Engine
from updater.install import on_disk
from updater.library import Library
from updater.place import Place
from updater.quarantine import Cause
from updater.state import Release

SIGNED_BY_THEIR_VENDOR = frozenset({".cvd", ".cld"})


class VendorCheck:
    """Checks what one engine's channels bring."""

    def __init__(
        self, place: Place, engine: Engine, installed: Mapping[str, Release], *, now: datetime
    ) -> None:
        self._place = place
        self._engine = engine
        self._installed = installed
        self._library = Library(place.host.blobs)
        self._now = now

    def check(self, channel: str, release: Release, files: Iterable[File]) -> None:
        """Verify the databases among a release's files down to their vendor's signature.

        A release that is refused goes into quarantine: the same bytes would fail again.

        Raises:
            TrustError: one of them is not what its vendor signed; names channel and file.
            StateError: a file cannot be read.

        """
        if self._installed.get(channel) == release:
            return
        asked = [file for file in files if _form(file)]
        known = self._known(channel) if asked else frozenset()
        for file in asked:
            if (_form(file), file.sha256) not in known:
                self._verify(channel, release, file)

    def _known(self, channel: str) -> frozenset[tuple[str, str]]:
        """List the databases of the release that is in force, by form and sha256."""
        if channel not in self._installed:
            return frozenset()
        try:
            _, files = self._library.listed(self._installed[channel])
        except (StateError, TrustError):
            return frozenset()
        laid_out = self._engine.layout(channel, files).values()
        return frozenset((_form(file), file.sha256) for file in laid_out)

    def _verify(self, channel: str, release: Release, file: File) -> None:
        path = self._library.path(file.pin)
        try:
            with on_disk(path):
                _verify(path, file.path)
        except (TrustError, LimitError) as exc:
            self._hold(channel, release, str(exc))
            raise TrustError(
                f"channel {channel}: release {release.sequence} is refused: {exc}",
                hint="its vendor did not sign this; it is in quarantine: see `sigupdate "
                "quarantine list`, and ask whoever runs the mirror how it came there",
            ) from exc

    def _hold(self, channel: str, release: Release, reason: str) -> None:
        held = self._place.quarantine.load()
        releases = {channel: release.manifest_sha256}
        entry = quarantine.Entry(releases, Cause.vendor, reason, self._now)
        self._place.quarantine.save(held.adding(entry))


def _form(file: File) -> str:
    """Tell in which form a database is by its name; "" for any other file."""
    suffix = PurePosixPath(file.path).suffix.lower()
    return suffix if suffix in SIGNED_BY_THEIR_VENDOR else ""


def _verify(path: Path, name: str) -> None:
    # Start-up time: most runs bring no database.
    from keys.trust.vendor.cld import verify_cld  # noqa: PLC0415
    from keys.trust.vendor.cvd import verify_cvd  # noqa: PLC0415

    verify: Callable[..., object] = verify_cvd if name.lower().endswith(".cvd") else verify_cld
    with path.open("rb") as file:
        verify(file, name)

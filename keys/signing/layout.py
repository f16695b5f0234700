"""Where a mirror's folder keeps its keys and its site repository, and reading them back."""

from dataclasses import dataclass
from pathlib import Path

from keys import files
from keys.errors import HandedOverError, StateError
from keys.model.handover import HANDOVER_FILE
from keys.signing.state import versions_taken, wanted

SITE = "site"
MAX_METADATA_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of one mirror."""

    folder: Path

    @property
    def online(self) -> Path:
        """The key ring the mirror signs with."""
        return self.folder / "keys" / "online"

    @property
    def offline(self) -> Path:
        """Where the offline key ring lies until it is moved to a safe place."""
        return self.folder / "keys" / "offline"

    @property
    def drafts(self) -> Path:
        """Metadata that still lacks signatures of offline keys."""
        return self.folder / "keys" / "drafts"

    @property
    def repository(self) -> Path:
        """The site repository."""
        return self.folder / "r" / SITE

    @property
    def metadata(self) -> Path:
        """The metadata of the site repository."""
        return self.repository / "metadata"

    def taken(self) -> dict[str, int]:
        """Tell the highest version of each role in the site repository.

        Raises:
            StateError: there is no repository.

        """
        try:
            return versions_taken(path.name for path in self.metadata.iterdir())
        except OSError as exc:
            raise StateError(
                f"{self.metadata}: {exc.strerror or exc}", hint="run `sigkeys init` first"
            ) from exc

    def check_in_charge(self) -> None:
        """Make sure that this is where the repository is signed.

        Raises:
            HandedOverError: it was handed over.

        """
        if (self.repository / HANDOVER_FILE).exists():
            raise HandedOverError(f"{self.repository}: was handed over: nothing is signed here")

    def read(self) -> dict[str, bytes]:
        """Read the metadata in force, by role; nothing is verified yet.

        Raises:
            StateError: there is no repository, or a file of it is missing or too large.

        """
        taken, metadata = self.taken(), dict[str, bytes]()
        while names := wanted(metadata, taken):
            metadata |= {role: _read(self.metadata / name) for role, name in names.items()}
        return metadata


def _read(path: Path) -> bytes:
    return files.read(
        path, max_bytes=MAX_METADATA_BYTES, limit="MAX_METADATA_BYTES", error=StateError
    )

"""The trusted copy on disk: role files as they were served, under unversioned names.

A file gets here only after it was verified, so a bad one never replaces a good one. Roots are
kept in ``root_history/`` too.
"""

from pathlib import Path

from keys import files
from keys.errors import StateError
from keys.trust import roles
from keys.trust.tuf_api import Root


class TrustedCopy:
    """The folder that holds one repository's trusted role files."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._folder = folder

    def read(self, role: str) -> bytes | None:
        """Return a role's trusted bytes, or None.

        Raises:
            StateError: they cannot be read.

        """
        path = self._folder / roles.file_name(role)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StateError(f"{path}: {exc.strerror or exc}") from exc

    def required(self, role: str) -> bytes:
        """Return a role's trusted bytes.

        Raises:
            StateError: there are none.

        """
        data = self.read(role)
        if data is None:
            raise StateError(
                f"repository {self._name}: nothing is trusted yet as {role}",
                hint="give it a trusted root, then refresh",
            )
        return data

    def root(self) -> Root:
        """Return the trusted root.

        Raises:
            StateError: there is none.
            TrustError: the file on disk is damaged.

        """
        what = f"{self._name}: trusted root.json"
        root = roles.parse(self.required(Root.type), Root, what)
        return roles.verify(root, root.signed, Root.type, what)

    def keep(self, role: str, data: bytes) -> None:
        """Replace a role's trusted bytes.

        Raises:
            StateError: the disk refuses; the old bytes stay.

        """
        self._write(self._folder / roles.file_name(role), data)

    def keep_root(self, version: int, data: bytes) -> None:
        """Make a root the trusted one, and keep it in the history."""
        self._write(self._history(version), data)
        self.keep(Root.type, data)

    def past_root(self, version: int) -> bytes | None:
        """Return a root of the history, or None."""
        path = self._history(version)
        return path.read_bytes() if path.exists() else None

    def _history(self, version: int) -> Path:
        return self._folder / "root_history" / f"{version}.root.json"

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        try:
            files.make_folder(path.parent)
            files.write(path, data)
        except OSError as exc:
            raise StateError(f"{path}: {exc.strerror or exc}") from exc

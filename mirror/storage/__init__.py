"""Where a repository's bytes lie."""

from pathlib import Path

from keys.errors import SettingsError
from mirror.storage.base import Stat, Store
from mirror.storage.filesystem import FilesystemStore
from mirror.storage.memory import MemoryStore

__all__ = ["FilesystemStore", "MemoryStore", "Stat", "Store", "open_store"]


def open_store(url: str) -> Store:
    """Make the store that ``store.url`` names; touches nothing yet.

    Raises:
        SettingsError: not an absolute ``file://`` URL.

    """
    scheme, _, path = url.partition("://")
    if scheme != "file" or not path.startswith("/"):
        raise SettingsError(
            f"store.url: {url!r}: not a store", hint='write "file:///var/lib/sigmirror"'
        )
    return FilesystemStore(Path(path))

"""Where a repository's bytes lie."""

from pathlib import Path
from typing import TYPE_CHECKING

from keys.errors import SettingsError
from mirror.settings import StoreSettings
from mirror.storage.base import ReadableStore, Stat, Store
from mirror.storage.filesystem import FilesystemStore
from mirror.storage.memory import MemoryStore

if TYPE_CHECKING:
    from mirror.storage.bucket import BucketStore

__all__ = [
    "FilesystemStore",
    "MemoryStore",
    "ReadableStore",
    "Stat",
    "Store",
    "open_bucket",
    "open_store",
]


def open_store(settings: StoreSettings) -> Store:
    """Make the store that the settings name; touches nothing yet.

    Raises:
        SettingsError: ``url`` is no absolute ``file://`` and no ``s3://`` URL; or it is a bucket,
            and boto3 is not installed.

    """
    if settings.is_bucket:
        return open_bucket(settings)
    scheme, _, path = settings.url.partition("://")
    if scheme != "file" or not path.startswith("/"):
        raise SettingsError(
            f"store.url: {settings.url!r}: not a store",
            hint='write "file:///var/lib/sigmirror", or "s3://BUCKET/PREFIX"',
        )
    return FilesystemStore(Path(path))


def open_bucket(settings: StoreSettings, *, hurried: bool = False) -> "BucketStore":
    """Make a store in a bucket; who is ``hurried`` gives up sooner when it does not answer.

    Raises:
        SettingsError: boto3 is not installed.

    """
    try:
        from mirror.storage.bucket import BucketStore  # noqa: PLC0415 - boto3 loads slowly
    except ModuleNotFoundError as exc:
        raise SettingsError(
            f"store.url: {settings.url}: {exc.name} is not installed",
            hint="install sigmirror[server,s3]",
        ) from exc
    return BucketStore(settings, hurried=hurried)

"""The store a mirror serves from, as its settings say: itself, or through a disk of our own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mirror.settings import StoreSettings
from mirror.storage import ReadableStore, open_bucket, open_store
from mirror.web.cache.gauges import CacheFacts
from mirror.web.cache.store import CachedStore

if TYPE_CHECKING:
    from mirror.storage.bucket import BucketStore

FILES_POLL_SECONDS = 0.25  # a publish of another process is noticed within twice this


class Elsewhere(Protocol):
    """Where clients can fetch an object without us."""

    async def address(self, name: str) -> str:
        """Return a URL that holds for a short while.

        Raises:
            StoreError: there are no credentials to make one with.

        """
        ...


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses that the bucket itself honours for some seconds, whoever shows them."""

    store: "BucketStore"
    seconds: int

    async def address(self, name: str) -> str:
        """Sign one."""
        return await self.store.address(name, seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Served:
    """What requests are answered from.

    ``cache`` is None where the store has files of its own, ``elsewhere`` where nobody is sent away.
    """

    store: ReadableStore
    poll_seconds: float = FILES_POLL_SECONDS
    cache: CachedStore | None = None
    elsewhere: Elsewhere | None = None

    def facts(self) -> CacheFacts | None:
        """Tell what metrics show of the disk."""
        return self.cache.facts() if self.cache else None


async def open_served(settings: StoreSettings) -> Served:
    """Open the store; a disk of our own is made ready.

    Raises:
        SettingsError: there is no such store.

    """
    if not settings.is_bucket:
        return Served(open_store(settings))
    store = open_bucket(settings, hurried=True)
    redirects = settings.blobs == "redirect"
    cache = CachedStore(
        store,
        settings.cache_folder,
        max_bytes=settings.cache_max_bytes,
        sends_away=redirects,
    )
    await cache.prepare()
    elsewhere = Addresses(store, settings.redirect_seconds) if redirects else None
    return Served(cache, settings.poll_seconds, cache, elsewhere)

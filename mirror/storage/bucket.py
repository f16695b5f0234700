"""A store in a bucket.

Writers of one machine are kept apart by a lock in ``store.folder``. Those of several machines are
kept apart by creations that never overwrite: of two that build on the same state, one commits. A
bucket that cannot do that is refused, unless ``store.lock`` says that the lock is enough.
"""

import asyncio
import contextlib
import functools
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from keys.errors import ConflictError, MissingError, StoreError
from mirror.settings import Addressing, StoreSettings
from mirror.storage import codes, names
from mirror.storage.base import CHUNK_BYTES, Stat
from mirror.storage.filesystem import FilesystemStore
from mirror.storage.s3 import MAX_CONNECTIONS, Bucket, Endpoint

PART_BYTES = 32 << 20  # a larger object is sent in parts of this size
KEEP_UPLOADS = timedelta(hours=24)  # another machine's writer may be at work on a younger one
PARTS_AHEAD = 3  # that are asked for while one is taken
PROBES = ".probes"  # no object's name lies in a hidden folder
_Result = TypeVar("_Result")


class Link:
    """An endpoint with threads of its own: a store that hangs holds up nothing else."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.creating = threading.Lock()
        self.probed: set[str] = set()
        self._threads = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix="s3")

    async def run(self, work: Callable[..., _Result], *arguments: object) -> _Result:
        """Do what blocks in one of its threads."""
        call = functools.partial(work, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


@functools.lru_cache(maxsize=8)
def _link(url: str, region: str, addressing: Addressing, *, profile: str, hurried: bool) -> Link:
    """Return the process's one link to an endpoint: stores are opened anew for each use."""
    return Link(Endpoint(url, region, addressing, profile=profile, hurried=hurried))


class BucketStore:
    """Objects below a prefix of a bucket; ``hurried`` as of ``Endpoint``."""

    def __init__(
        self, settings: StoreSettings, *, part_bytes: int = PART_BYTES, hurried: bool = False
    ) -> None:
        name, _, prefix = settings.url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._link = _link(
            settings.endpoint, settings.region, settings.addressing,
            profile=settings.profile, hurried=hurried,
        )  # fmt: skip
        self._bucket = Bucket(self._link.endpoint, name, part_bytes=part_bytes)
        self._trusts_lock = settings.lock == "folder"
        self._locks = FilesystemStore(Path(settings.folder))

    async def stat(self, name: str) -> Stat | None:
        """Tell an object's length and version, or None when it is not there."""
        key = self._key(name)
        try:
            return await self._link.run(self._bucket.stat, key)
        except MissingError:
            return None

    async def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes, if they are those that were written."""
        return await self._link.run(self._bucket.read, self._key(name), max_bytes)

    async def local_path(self, name: str) -> Path | None:
        """Return None: there are no files."""
        await self._link.run(self._bucket.stat, self._key(name))
        return None

    async def address(self, name: str, *, seconds: int) -> str:
        """Return a URL with which anybody may get an object for so long; it is not looked for.

        Raises:
            StoreError: there are no credentials to sign it with.

        """
        return await self._link.run(self._bucket.address, self._key(name), seconds)

    async def chunks(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Stream the bytes from ``start`` to before ``stop``, all from one version."""
        key = self._key(name)
        found = await self._link.run(self._bucket.stat, key)
        last, coming = min(stop, found.length), deque[asyncio.Task[bytes]]()
        try:
            for place in range(start, last, CHUNK_BYTES):
                end = min(place + CHUNK_BYTES, last)
                part = self._link.run(self._bucket.part, key, place, end, found.version)
                coming.append(asyncio.create_task(part))
                if len(coming) == PARTS_AHEAD:
                    yield await coming.popleft()
            while coming:
                yield await coming.popleft()
        finally:
            for task in coming:
                task.cancel()
            await asyncio.gather(*coming, return_exceptions=True)

    async def create(self, name: str, content: bytes | Path) -> None:
        """Add an object; a large one in parts."""
        await self._link.run(self._create, self._key(name), content)

    async def replace(self, name: str, data: bytes) -> None:
        """Set an object's bytes by one request."""
        await self._link.run(self._bucket.replace, self._key(name), data)

    async def delete(self, name: str) -> None:
        """Remove an object."""
        await self._link.run(self._bucket.delete, self._key(name))

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """List the names below a folder, page by page."""
        pages = self._bucket.pages(self._folder(prefix))
        while (page := await self._link.run(next, pages, None)) is not None:
            for key in page:
                name = key.removeprefix(self._prefix)
                if "/." not in f"/{name}":
                    yield name

    async def sweep(self, prefix: str) -> None:
        """Forget uploads in parts that were begun long ago and never ended."""
        before = datetime.now(UTC) - KEEP_UPLOADS
        abort = functools.partial(self._bucket.abort_uploads, before=before)
        await self._link.run(abort, self._folder(prefix))

    @contextlib.asynccontextmanager
    async def writing(self, repository: str) -> AsyncIterator[None]:
        """Be the only writer on this machine, in a bucket where no other one overwrites.

        Raises:
            StoreError: the bucket overwrites what should only be created.

        """
        async with self._locks.writing(repository):
            await self._check_creations()
            yield

    async def _check_creations(self) -> None:
        """Find out, once in a process, whether creations in this bucket keep writers apart."""
        if self._trusts_lock or self._bucket.name in self._link.probed:
            return
        key = f"{self._prefix}{PROBES}/{secrets.token_hex(8)}"
        if await self._link.run(self._overwrites, key):
            raise StoreError(
                f"bucket {self._bucket.name}: overwrites what should only be created "
                "(PUT with If-None-Match: *)",
                hint=codes.CONDITIONS,
            )
        self._link.probed.add(self._bucket.name)

    def _overwrites(self, key: str) -> bool:
        """Tell whether a creation overwrites what is there; ``key`` is made, and removed again."""
        try:
            for _ in range(2):
                self._bucket.create(key, b"probe", unconditional=False)
        except ConflictError:
            return False
        finally:
            with contextlib.suppress(StoreError):
                self._bucket.delete(key)
        return True

    def _create(self, key: str, content: bytes | Path) -> None:
        with self._link.creating if self._trusts_lock else contextlib.nullcontext():
            self._bucket.create(key, content, unconditional=self._trusts_lock)

    def _key(self, name: str) -> str:
        return self._prefix + names.check(name)

    def _folder(self, prefix: str) -> str:
        return f"{self._key(prefix.rstrip('/'))}/"

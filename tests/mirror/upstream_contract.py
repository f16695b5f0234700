"""What every upstream promises, whatever its vendor speaks; each kind runs this suite."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keys.errors import Error
from keys.model.names import check_path, check_unique, publish_path
from keys.model.release import Assurance, File, Pin
from mirror.destination import Destination
from mirror.feeds import UpstreamSettings
from mirror.ingest import Ingest
from mirror.pulls import PullState, Result
from mirror.repository import StoredRepository
from mirror.upstream.base import Advance, Candidate, Pull, Upstream
from tests.mirror.site import BY, NOW, Mirror

MAX_RECOVERY_PULLS = 3


@dataclass
class Footing:
    """One kind of upstream on its feet: a vendor, and a mirror that pulls from him.

    ``build`` opens the upstream anew, as for one pull, after the version that was pulled last.
    ``release`` lets the vendor have release 1, 2, 3, …; ``spoil`` damages whatever he has from
    then on, so that no pull may take it; ``mend`` ends that.
    """

    mirror: Mirror
    settings: UpstreamSettings
    build: Callable[[str], Upstream]
    release: Callable[[int], Awaitable[None]]
    spoil: Callable[[], None]
    mend: Callable[[], None]
    secret: str = ""
    fetches: int = field(default=0, init=False)

    @property
    def state(self) -> PullState:
        return PullState(self.mirror.folder / "state/upstreams", self.settings.name)

    @property
    def memory(self) -> Path:
        """The upstream's own folder."""
        return self.mirror.folder / "state/upstreams" / self.settings.name

    def upstream(self) -> Upstream:
        return self.build(self.state.read().version)

    async def fetch(self, heard: Callable[[int], None] = lambda _count: None) -> "Fetched":
        """Check and fetch into a quarantine of its own."""
        self.fetches += 1
        quarantine = self.mirror.folder / "quarantine" / str(self.fetches)
        quarantine.mkdir(parents=True)
        upstream = self.upstream()
        await upstream.check(now=NOW)
        return Fetched(quarantine, await upstream.fetch(quarantine, Pull(NOW, on_bytes=heard)))

    async def pull(self) -> Result:
        """Pull as the mirror does, by hand."""
        ingest = Ingest(
            settings=self.settings,
            upstream=self.upstream(),
            to=Destination(
                self.settings,
                self.mirror.publishing(),
                self.mirror.policies,
                self.mirror.holds,
                StoredRepository(self.mirror.store, self.settings.name),
            ),
            state=self.state,
            quarantine=self.mirror.folder / "quarantine" / self.settings.name,
            licence=lambda _now: None,
        )
        return await ingest.pull(now=NOW, by=BY, by_hand=True)

    async def recovered(self) -> Result:
        """Pull until it succeeds: each pull may find one more file that was damaged before."""
        for _ in range(MAX_RECOVERY_PULLS - 1):
            with contextlib.suppress(Error):
                return await self.pull()
        return await self.pull()

    def served(self) -> dict[str, bytes]:
        """Return every byte that is in force."""
        folder = self.mirror.folder / "r"
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }


@dataclass(frozen=True)
class Fetched:
    """What a fetch brought, as one list of files that lie somewhere."""

    quarantine: Path
    brought: Candidate | Advance

    @property
    def files(self) -> list[tuple[Pin, Path]]:
        if isinstance(self.brought, Candidate):
            candidate = self.brought
            return [(one.pin, candidate.folder / one.path) for one in self.described]
        return list(self.brought.blobs.values())

    @property
    def described(self) -> tuple[File, ...]:
        assert isinstance(self.brought, Candidate)
        return (*self.brought.files, *self.brought.originals)


@contextlib.contextmanager
def writes_only(folder: Path, *allowed: Path) -> Iterator[None]:
    """Check that nothing below a folder changes but what lies below the allowed ones."""

    def look() -> dict[Path, tuple[int, int, int]]:
        found = {path: path.lstat() for path in folder.rglob("*")}
        return {
            path: (seen.st_ino, seen.st_size, seen.st_mtime_ns)
            for path, seen in found.items()
            if not path.is_dir() and not any(path == one or one in path.parents for one in allowed)
        }

    before = look()
    yield
    assert look() == before


class UpstreamContract:
    """Mix in a fixture ``footing`` whose vendor has nothing yet; each test is one promise."""

    async def test_a_check_writes_nothing(self, footing: Footing) -> None:
        await footing.release(1)
        with writes_only(footing.mirror.folder):
            offer = await footing.upstream().check(now=NOW)
        assert offer.version
        assert offer.address
        assert isinstance(offer.assurance, Assurance)

    async def test_a_check_says_the_same_until_something_changes(self, footing: Footing) -> None:
        await footing.release(1)
        first, again = [await footing.upstream().check(now=NOW) for _ in range(2)]
        assert first.version == again.version
        await footing.release(2)
        assert (await footing.upstream().check(now=NOW)).version != first.version

    async def test_each_release_is_pulled_once(self, footing: Footing) -> None:
        for number in (1, 2, 3):
            await footing.release(number)
            assert (await footing.pull()).outcome == "published"
            served = footing.served()
            assert (await footing.pull()).outcome == "unchanged"
            assert footing.served() == served

    async def test_a_fetch_writes_into_its_quarantine_and_its_own_memory_only(
        self, footing: Footing
    ) -> None:
        await footing.release(1)
        folder = footing.mirror.folder
        with writes_only(folder, folder / "quarantine", footing.memory):
            fetched = await footing.fetch()
        for _pin, path in fetched.files:
            assert fetched.quarantine in path.parents
        assert not any(path.is_symlink() for path in fetched.quarantine.rglob("*"))

    async def test_every_file_is_what_it_is_described_as(self, footing: Footing) -> None:
        await footing.release(1)
        files = (await footing.fetch()).files
        assert files
        for pin, path in files:
            assert Pin.of(path.read_bytes()) == pin

    async def test_paths_are_clean_and_no_path_is_two_files(self, footing: Footing) -> None:
        await footing.release(1)
        fetched = await footing.fetch()
        if isinstance(fetched.brought, Advance):
            assert all(publish_path(path) for path in fetched.brought.metadata)
            return
        paths = [file.path for file in fetched.described]
        assert [check_path(path) for path in paths] == paths
        check_unique(paths)
        assert len(paths) == len(set(paths))

    async def test_the_same_release_is_fetched_as_the_same(self, footing: Footing) -> None:
        await footing.release(1)
        first, again = [await footing.fetch() for _ in range(2)]
        assert {pin for pin, _ in first.files} == {pin for pin, _ in again.files}
        if isinstance(first.brought, Candidate) and isinstance(again.brought, Candidate):
            assert first.brought.release == again.brought.release
            assert first.brought.files == again.brought.files
            assert first.brought.originals == again.brought.originals

    async def test_progress_is_heard(self, footing: Footing) -> None:
        await footing.release(1)
        heard: list[int] = []
        await footing.fetch(heard.append)
        assert heard
        assert all(count > 0 for count in heard)

    async def test_what_cannot_be_believed_changes_nothing(self, footing: Footing) -> None:
        await footing.release(1)
        await footing.pull()
        await footing.release(2)
        footing.spoil()
        served = footing.served()
        for _ in range(2):
            with pytest.raises(Error) as caught:
                await footing.pull()
            assert str(caught.value)
            assert footing.served() == served
            failure = footing.state.read().failure
            assert failure is not None
            assert failure.message == str(caught.value)
        footing.mend()
        assert (await footing.recovered()).outcome == "published"

    async def test_a_fetch_that_is_given_up_changes_nothing(self, footing: Footing) -> None:
        await footing.release(1)
        await footing.pull()
        await footing.release(2)
        folder = footing.mirror.folder
        with writes_only(folder, folder / "quarantine", footing.memory):
            fetching = asyncio.create_task(footing.fetch())
            await asyncio.sleep(0)
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)
        assert (await footing.pull()).outcome == "published"

    async def test_requests_are_counted_where_somebody_is_asked(self, footing: Footing) -> None:
        await footing.release(1)
        upstream = footing.upstream()
        await upstream.check(now=NOW)
        assert bool(upstream.transcript.requests) == upstream.remote
        assert bool(upstream.transcript.exchanges) == upstream.remote

    async def test_no_secret_is_in_what_is_told(self, footing: Footing) -> None:
        await footing.release(1)
        upstream = footing.upstream()
        offer = await upstream.check(now=NOW)
        told = f"{offer}{upstream.transcript.text()}"
        assert not footing.secret or footing.secret not in told

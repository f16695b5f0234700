import asyncio
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from keys.errors import Error, FetchError, LicenceError, NameRefusedError, StoreError
from keys.model.licence import Kind, Licence
from keys.model.standing import LicenceState, state_at
from mirror.destination import Destination
from mirror.feeds import UpstreamSettings
from mirror.ingest import Ingest
from mirror.pulls import Pulled, PullState, Result
from mirror.repository import StoredRepository
from mirror.upstream.drop import DropUpstream
from tests.mirror.site import BY, NOW, Mirror

LICENCE = Licence(
    id="1", serial="S-1", kind=Kind.feed, product="rules", organisation="株式会社例",
    seats=50, starts_on=date(2026, 1, 1), ends_on=date(2026, 3, 31), tz="Asia/Tokyo",
    sequence=1, issued_at=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip


class Site:
    """A mirror with one drop folder."""

    def __init__(self, folder: Path) -> None:
        self.mirror = Mirror.found(folder / "mirror")
        self.drop = folder / "drop"
        self.drop.mkdir()
        self.client = self.mirror.client(folder / "client")
        self.licence: Licence | None = None
        self.canary: tuple[str, ...] = ()
        self.now = NOW

    @property
    def state(self) -> PullState:
        return PullState(self.mirror.folder / "state/upstreams", "inhouse")

    @property
    def quarantine(self) -> Path:
        return self.mirror.folder / "quarantine/inhouse"

    def standing(self, now: datetime) -> LicenceState | None:
        return state_at([self.licence], now) if self.licence else None

    def ingest(self) -> Ingest:
        settings = UpstreamSettings(
            name="inhouse", kind="drop", channel="rules", folder=str(self.drop),
            quiet_seconds=0.01, licence="av",
        )  # fmt: skip
        return Ingest(
            settings=settings,
            upstream=DropUpstream(settings),
            to=Destination(
                settings,
                self.mirror.publishing(),
                self.mirror.policies,
                self.mirror.holds,
                StoredRepository(self.mirror.store, "inhouse"),
                self.canary,
            ),
            state=self.state,
            quarantine=self.quarantine,
            licence=self.standing,
        )

    async def pull(self) -> Result:
        return await self.ingest().pull(now=self.now, by=BY, by_hand=False)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_a_changed_folder_is_the_next_release(site: Site) -> None:
    for number in (1, 2):
        (site.drop / "a").write_bytes(b"%d" % number)
        result = await site.pull()
        assert (result.outcome, result.sequence, result.track) == ("published", number, "stable")
    assert site.client.contents("rules") == {"a": b"2"}
    assert (await site.pull()).outcome == "unchanged"
    assert not site.quarantine.exists()


async def test_a_touched_folder_with_the_same_content_publishes_nothing(site: Site) -> None:
    (site.drop / "a").write_bytes(b"x")
    await site.pull()
    (site.drop / "a").touch()
    assert (await site.pull()).outcome == "unchanged"
    assert site.client.offered("rules").sequence == 1


async def test_a_canary_channel_goes_to_canary_first(site: Site) -> None:
    site.canary = ("rules",)
    (site.drop / "a").write_bytes(b"x")
    assert (await site.pull()).track == "canary"
    assert site.client.channels().pointer("rules", "stable") is None


async def test_a_refused_folder_leaves_the_last_good_release(site: Site) -> None:
    (site.drop / "a").write_bytes(b"x")
    await site.pull()
    (site.drop / "link").symlink_to("/etc/passwd")
    with pytest.raises(NameRefusedError):
        await site.pull()
    failure = site.state.read().failure
    assert failure is not None
    assert (failure.kind, failure.exit_code) == ("NameRefusedError", 3)
    assert site.client.contents("rules") == {"a": b"x"}
    assert not site.quarantine.exists()
    (site.drop / "link").unlink()
    (site.drop / "b").write_bytes(b"y")
    await site.pull()
    assert site.state.read().failure is None


async def test_an_emptied_folder_is_held_and_named(site: Site) -> None:
    (site.drop / "a").write_bytes(b"x")
    await site.pull()
    (site.drop / "a").unlink()
    with pytest.raises(FetchError, match="an empty folder is never a release"):
        await site.pull()
    assert site.client.contents("rules") == {"a": b"x"}


async def test_the_same_trouble_is_written_once(site: Site) -> None:
    for _ in range(2):
        with pytest.raises(FetchError):
            await site.pull()
        site.now += timedelta(seconds=5)
    failure = site.state.read().failure
    assert failure is not None
    assert failure.at == NOW


@pytest.mark.parametrize(
    ("day", "pulls"),
    [
        (datetime(2025, 12, 31, 14, 59, tzinfo=UTC), False),
        (datetime(2025, 12, 31, 15, 0, tzinfo=UTC), True),
        (datetime(2026, 3, 31, 14, 59, tzinfo=UTC), True),
        (datetime(2026, 3, 31, 15, 0, tzinfo=UTC), False),
        (datetime(2026, 6, 29, 0, 0, tzinfo=UTC), False),
    ],
    ids=["pending", "first minute", "last minute", "renewal window", "lapsed"],
)
async def test_a_licence_is_asked_before_anything_else(
    tmp_path: Path, day: datetime, pulls: bool
) -> None:
    site = Site(tmp_path)
    shutil.rmtree(site.mirror.folder)
    site.mirror = Mirror.found(tmp_path / "mirror", now=day)
    site.licence, site.now = LICENCE, day
    (site.drop / "a").write_bytes(b"x")
    if pulls:
        assert (await site.pull()).outcome == "published"
        return
    with pytest.raises(LicenceError, match=r"licence av: .* it ends on 2026-03-31") as caught:
        await site.pull()
    assert caught.value.exit_code == 4


async def test_a_renewed_licence_pulls_again_at_once(site: Site) -> None:
    (site.drop / "a").write_bytes(b"x")
    site.licence, site.now = LICENCE, datetime(2026, 4, 1, tzinfo=UTC)
    await site.mirror.editions.renew(BY, now=site.now)
    with pytest.raises(LicenceError):
        await site.pull()
    site.licence = None
    assert (await site.pull()).outcome == "published"


async def test_two_pulls_of_one_upstream_never_run_at_once(site: Site) -> None:
    (site.drop / "a").write_bytes(b"x")
    outcomes = await asyncio.gather(site.pull(), site.pull(), return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["LockedError", "Result"]


async def test_a_store_that_fails_is_remembered_and_tried_again(site: Site) -> None:
    (site.drop / "a").write_bytes(b"x")
    blobs = site.mirror.folder / "r/site/targets"
    shutil.rmtree(blobs, ignore_errors=True)
    blobs.write_bytes(b"a file where a folder should be")
    with pytest.raises(StoreError):
        await site.pull()
    assert site.state.read().failure is not None
    blobs.unlink()
    assert (await site.pull()).outcome == "published"


async def test_a_damaged_memory_is_named_and_nothing_is_pulled(site: Site) -> None:
    (site.drop / "a").write_bytes(b"x")
    site.state.write(Pulled())
    site.state.path.write_text('{"unknown": 1}')
    with pytest.raises(Error, match=r"inhouse\.json") as caught:
        await site.pull()
    assert "remove the file" in caught.value.hint

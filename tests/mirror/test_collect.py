from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keys.errors import MissingError
from mirror.collect import Collected, collect
from tests.mirror.site import BY, Mirror, candidate

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture
async def mirror(tmp_path: Path) -> Mirror:
    """A mirror with four releases, of which two are kept."""
    mirror = Mirror.found(tmp_path / "mirror", now=NOW)
    for number in range(1, 5):
        contents = {"a": b"release %d" % number, "same": b"same"}
        await mirror.publishing(keep=2).release(
            candidate(tmp_path / f"in{number}", contents),
            channel="rules", track="stable", by=BY, now=NOW,
        )  # fmt: skip
    return mirror


async def collected(mirror: Mirror, now: datetime, *, dry_run: bool = False) -> Collected:
    return await collect(mirror.store, mirror.repository, now=now, dry_run=dry_run)


def names(mirror: Mirror) -> set[str]:
    top = mirror.folder / "r/site"
    return {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}


async def test_what_recent_timestamps_need_stays(mirror: Mirror) -> None:
    before = names(mirror)
    for later in (timedelta(), 2 * DAY, 6 * DAY):
        assert (await collected(mirror, NOW + later)).names == ()
    assert names(mirror) == before


async def test_old_releases_go_and_kept_ones_stay(mirror: Mirror, tmp_path: Path) -> None:
    later = NOW + 8 * DAY
    gone = await collected(mirror, later)
    assert gone.length > 0
    assert names(mirror).isdisjoint(gone.names)
    assert len([name for name in gone.names if name.endswith(".a")]) == 2
    assert not [name for name in gone.names if name.endswith((".same", "root.json"))]
    await mirror.editions.renew(BY, now=later)
    client = mirror.client(tmp_path / "client")
    assert client.contents("rules", now=later) == {"a": b"release 4", "same": b"same"}
    await mirror.publishing().point("rules", "stable", 3, by=BY, now=later)
    assert client.contents("rules", now=later) == {"a": b"release 3", "same": b"same"}


async def test_a_dry_run_removes_nothing(mirror: Mirror) -> None:
    before = names(mirror)
    would = await collected(mirror, NOW + 8 * DAY, dry_run=True)
    assert names(mirror) == before
    assert (await collected(mirror, NOW + 8 * DAY)).names == would.names


async def test_what_is_new_stays_though_nothing_needs_it(mirror: Mirror) -> None:
    store = mirror.store
    await store.create("r/site/targets/rules/files/orphan", b"x")
    assert (await collected(mirror, NOW + timedelta(hours=23))).names == ()
    assert (await collected(mirror, NOW + timedelta(hours=25))).names == (
        "targets/rules/files/orphan",
    )


async def test_one_missing_manifest_and_nothing_goes(mirror: Mirror) -> None:
    next((mirror.folder / "r/site/targets/rules/releases").glob("*.4.json")).unlink()
    before = names(mirror)
    with pytest.raises(MissingError):
        await collected(mirror, NOW + 8 * DAY)
    assert names(mirror) == before


async def test_version_numbers_are_not_used_again_after_a_collection(mirror: Mirror) -> None:
    later = NOW + 8 * DAY
    orphan = "r/site/metadata/99.rules.json"  # a writer was killed before its timestamp
    await mirror.store.create(orphan, b"never in force")
    taken = (await mirror.repository.in_force()).taken
    await collected(mirror, later)
    await mirror.editions.renew(BY, now=later)
    after = (await mirror.repository.in_force()).taken
    assert all(after[role] > taken[role] for role in ("timestamp", "snapshot"))
    assert after["rules"] == 100

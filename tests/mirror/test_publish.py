import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keys.errors import ExpiredError, MissingError, NameRefusedError, StateError, StoreError
from keys.model.release import LICENCE_STATUS_TARGET, File, Pin, Pointer
from keys.model.sidecars import decode_sidecars, sidecars_target
from mirror.edition import Editions, Order
from mirror.intake import Label
from mirror.journal import Journal
from mirror.publish import Published, Publishing
from mirror.repository import StoredRepository
from mirror.shrink import ShrunkError
from mirror.storage import MemoryStore
from mirror.upstream.base import Candidate
from tests.mirror import kill_points
from tests.mirror.site import BY, NOW, Mirror, candidate

DAY = timedelta(days=1)


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror.found(tmp_path / "mirror")


async def publish(
    mirror: Mirror, folder: Path, contents: dict[str, bytes], *, keep: int = 10, **options: Any
) -> Published:
    arguments: dict[str, Any] = {
        "channel": "inhouse",
        "track": "stable",
        "label": Label("yara"),
        "by": BY,
        "now": NOW,
    }
    return await mirror.publishing(keep=keep).release(
        candidate(folder, contents), **(arguments | options)
    )


def names(mirror: Mirror) -> set[str]:
    return {
        path.relative_to(mirror.folder).as_posix()
        for path in (mirror.folder / "r").rglob("*")
        if path.is_file()
    }


async def test_a_client_verifies_what_was_published(mirror: Mirror, tmp_path: Path) -> None:
    contents = {"a.yar": b"rule a", "deep/down/規則 1.yar": b"rule b"}
    published = await publish(mirror, tmp_path / "in", contents)
    assert published.changed
    assert published.sequence == 1
    client = mirror.client(tmp_path / "client")
    manifest = client.offered("inhouse")
    assert (manifest.sequence, manifest.engine, manifest.published) == (1, "yara", NOW)
    listed = client.channels().files(manifest)
    assert [file.path for file in listed] == sorted(contents)
    assert any(name.endswith(".@E8@A6@8F@E5@89@87@201.yar") for name in names(mirror))


async def test_sequences_rise_and_tracks_move(mirror: Mirror, tmp_path: Path) -> None:
    client = mirror.client(tmp_path / "client")
    for number in (1, 2, 3):
        published = await publish(mirror, tmp_path / f"in{number}", {"a": b"%d" % number})
        assert published.sequence == number
        assert client.contents("inhouse") == {"a": b"%d" % number}


async def brought(mirror: Mirror, brought: Candidate, **options: Any) -> Published:
    """Publish what an upstream brought; whatever falls below 80 % of the last is held."""
    return (
        await mirror.publishing()
        .holding(80)
        .release(brought, channel="inhouse", track="stable", by=BY, now=NOW, **options)
    )


async def test_a_signature_that_came_later_is_a_new_release(mirror: Mirror, tmp_path: Path) -> None:
    plain = candidate(tmp_path / "in", {"daily.cld": b"x"})
    assert (await brought(mirror, plain)).sequence == 1
    (tmp_path / "in/daily.sign").write_bytes(b"signed")
    signed = replace(plain, originals=(File("daily.sign", Pin.of(b"signed").sha256, 6),))
    assert (await brought(mirror, signed)).sequence == 2
    assert not (await brought(mirror, signed)).changed
    manifest = mirror.client(tmp_path / "client").offered("inhouse")
    assert [file.path for file in manifest.originals] == ["daily.sign"]


async def test_a_manifest_counts_the_signatures_the_vendor_counts(
    mirror: Mirror, tmp_path: Path
) -> None:
    await brought(mirror, replace(candidate(tmp_path / "in", {"a": b"x"}), signatures=1000))
    assert mirror.client(tmp_path / "client").offered("inhouse").signatures == 1000
    fewer = replace(candidate(tmp_path / "in2", {"a": b"y"}), signatures=799)
    with pytest.raises(ShrunkError, match="1000 -> 799 signatures"):
        await brought(mirror, fewer)
    assert (await brought(mirror, replace(fewer, signatures=800))).sequence == 2


async def test_a_release_is_compared_with_what_its_track_offers(
    mirror: Mirror, tmp_path: Path
) -> None:
    await brought(mirror, candidate(tmp_path / "1", {"a": b"x" * 100}))
    await brought(mirror, candidate(tmp_path / "2", {"a": b"x" * 1000}))
    await mirror.publishing().point("inhouse", "stable", 1, by=BY, now=NOW)
    assert (await brought(mirror, candidate(tmp_path / "3", {"a": b"y" * 90}))).sequence == 3


async def test_a_new_track_is_compared_with_the_latest_release(
    mirror: Mirror, tmp_path: Path
) -> None:
    await brought(mirror, candidate(tmp_path / "1", {"a": b"x" * 100}))
    small = candidate(tmp_path / "2", {"a": b"x"})
    with pytest.raises(ShrunkError, match="shrinks to 1 %"):
        await (
            mirror.publishing()
            .holding(80)
            .release(small, channel="inhouse", track="canary", by=BY, now=NOW)
        )


async def test_the_same_files_again_publish_nothing(mirror: Mirror, tmp_path: Path) -> None:
    await publish(mirror, tmp_path / "one", {"a": b"x"})
    before = names(mirror)
    again = await publish(mirror, tmp_path / "two", {"a": b"x"})
    assert not again.changed
    assert again.sequence == 1
    assert names(mirror) == before


async def test_the_same_files_never_undo_a_rollback(mirror: Mirror, tmp_path: Path) -> None:
    await publish(mirror, tmp_path / "one", {"a": b"1"})
    await publish(mirror, tmp_path / "two", {"a": b"2"})
    await mirror.publishing().point("inhouse", "stable", 1, by=BY, now=NOW)
    assert not (await publish(mirror, tmp_path / "three", {"a": b"2"})).changed
    assert mirror.client(tmp_path / "client").contents("inhouse") == {"a": b"1"}


async def test_an_operator_moves_a_track_to_the_same_files(mirror: Mirror, tmp_path: Path) -> None:
    await publish(mirror, tmp_path / "one", {"a": b"1"}, track="canary")
    moved = await publish(mirror, tmp_path / "two", {"a": b"1"}, move_track=True)
    assert moved.changed
    assert moved.sequence == 1
    client = mirror.client(tmp_path / "client")
    assert client.offered("inhouse", "canary") == client.offered("inhouse", "stable")


async def test_a_rollback_is_an_order_a_client_follows(mirror: Mirror, tmp_path: Path) -> None:
    client = mirror.client(tmp_path / "client")
    for number in (1, 2):
        await publish(mirror, tmp_path / f"in{number}", {"a": b"%d" % number})
    assert client.contents("inhouse") == {"a": b"2"}
    moved = await mirror.publishing().point("inhouse", "stable", 1, by=BY, now=NOW)
    assert moved.changed
    assert client.contents("inhouse") == {"a": b"1"}
    assert not (await mirror.publishing().point("inhouse", "stable", 1, by=BY, now=NOW)).changed
    with pytest.raises(MissingError, match="no release 7"):
        await mirror.publishing().point("inhouse", "stable", 7, by=BY, now=NOW)


async def test_a_canary_release_leaves_stable_alone(mirror: Mirror, tmp_path: Path) -> None:
    await publish(mirror, tmp_path / "one", {"a": b"1"})
    await publish(mirror, tmp_path / "two", {"a": b"2"}, track="canary")
    client = mirror.client(tmp_path / "client")
    assert client.contents("inhouse") == {"a": b"1"}
    assert client.contents("inhouse", "canary") == {"a": b"2"}


async def test_a_file_shared_by_two_releases_is_stored_once(mirror: Mirror, tmp_path: Path) -> None:
    await publish(mirror, tmp_path / "one", {"a": b"same", "b": b"1"})
    published = await publish(mirror, tmp_path / "two", {"a": b"same", "b": b"22"})
    assert published.new_bytes == 2


async def test_old_releases_leave_the_list_but_never_a_track(
    mirror: Mirror, tmp_path: Path
) -> None:
    await publish(mirror, tmp_path / "old", {"a": b"old"}, keep=2)
    for number in range(1, 5):
        data = {"a": b"%d" % number}
        await publish(mirror, tmp_path / f"{number}", data, keep=2, track="canary")
    client = mirror.client(tmp_path / "client")
    assert sorted(client.channels().manifest_pins("inhouse")) == [1, 4, 5]
    assert client.contents("inhouse") == {"a": b"old"}


async def test_files_of_stable_are_targets_for_any_tuf_client(
    mirror: Mirror, tmp_path: Path
) -> None:
    await publish(mirror, tmp_path / "one", {"a": b"1", "deep/b": b"2"})
    await publish(mirror, tmp_path / "two", {"a": b"9"}, track="canary")
    listed = mirror.sign((await mirror.repository.in_force()).metadata).pins("inhouse-files")
    assert sorted(listed) == ["inhouse/files/a", "inhouse/files/deep/b"]


async def test_a_hostile_channel_or_clashing_file_is_refused(
    mirror: Mirror, tmp_path: Path
) -> None:
    before = names(mirror)
    for channel in ("targets", "Up", "../x", "policy"):
        with pytest.raises(NameRefusedError):
            await publish(mirror, tmp_path / "in", {"a": b"x"}, channel=channel)
    with pytest.raises(NameRefusedError, match="clashes"):
        await publish(mirror, tmp_path / "in", {"a": b"x", "A": b"y"})
    assert names(mirror) == before


async def test_the_log_says_who_published_what_and_why(mirror: Mirror, tmp_path: Path) -> None:
    await publish(mirror, tmp_path / "one", {"a": b"x"}, by=Order("anna", "new rules"))
    await publish(mirror, tmp_path / "two", {"a": b"y"})
    await mirror.publishing().point("inhouse", "stable", 1, by=Order("bob", "beep"), now=NOW)
    lines = [json.loads(line) for line in mirror.journal.read_text().splitlines()]
    assert [line["what"] for line in lines] == ["release", "release", "point"]
    assert [line["who"] for line in lines] == ["anna", "tester", "bob"]
    assert (lines[0]["why"], lines[2]["sequence"]) == ("new rules", 1)
    for line in lines:
        assert f"r/site/metadata/{line['timestamp']}.timestamp.json" in names(mirror)


async def test_policy_targets_are_merged(mirror: Mirror) -> None:
    policies = mirror.policies
    documents = {LICENCE_STATUS_TARGET: b'{"licences":[]}'}
    assert await policies.put(documents, by=BY, now=NOW)
    assert not await policies.put(documents, by=BY, now=NOW)
    await policies.put({"policy/vendor/av.json": b"{}"}, by=BY, now=NOW)
    pins = mirror.sign((await mirror.repository.in_force()).metadata).pins("policy")
    assert sorted(pins) == [LICENCE_STATUS_TARGET, "policy/vendor/av.json"]


async def test_a_choice_leaves_the_other_tracks_alone(mirror: Mirror, tmp_path: Path) -> None:
    first, second = Pointer(1, "a" * 64), Pointer(2, "b" * 64)
    for track, pointer in (("stable", first), ("canary", second)):
        assert await mirror.policies.choose(
            "vendor",
            {"av": pointer},
            track={"av": track}.__getitem__,
            by=BY,
            now=NOW,
        )
    policy = mirror.client(tmp_path / "client").channels().policy("vendor", "av")
    assert policy is not None
    assert policy.tracks == {"stable": first, "canary": second}


async def test_an_expired_repository_is_repaired_by_the_next_run(
    mirror: Mirror, tmp_path: Path
) -> None:
    await publish(mirror, tmp_path / "one", {"a": b"x"})
    client, later = mirror.client(tmp_path / "client"), NOW + 60 * DAY
    client.offered("inhouse")
    with pytest.raises(ExpiredError):
        client.offered("inhouse", now=later)
    assert "timestamp" in await mirror.editions.renew(BY, now=later)
    assert client.offered("inhouse", now=later).sequence == 1
    assert await mirror.editions.renew(BY, now=later) == ()


async def test_roles_are_renewed_at_a_quarter_of_their_validity(mirror: Mirror) -> None:
    assert await mirror.editions.renew(BY, now=NOW + timedelta(hours=17)) == ()
    assert await mirror.editions.renew(BY, now=NOW + timedelta(hours=19)) == ("timestamp",)


async def test_a_stale_timestamp_copy_is_repaired_by_the_next_writer(
    mirror: Mirror, tmp_path: Path
) -> None:
    copy = mirror.folder / "r/site/metadata/timestamp.json"
    stale = copy.read_bytes()
    await publish(mirror, tmp_path / "one", {"a": b"x"})
    newest = copy.read_bytes()
    for damaged in (stale, b"junk", None):
        if damaged is None:
            copy.unlink()
        else:
            copy.write_bytes(damaged)
        await mirror.editions.renew(BY, now=NOW)
        assert copy.read_bytes() == newest


async def test_two_writers_at_once_both_publish(mirror: Mirror, tmp_path: Path) -> None:
    published = await asyncio.gather(
        *(publish(mirror, tmp_path / f"{n}", {"a": b"%d" % n}) for n in range(4))
    )
    assert sorted(one.sequence for one in published) == [1, 2, 3, 4]


async def test_a_damaged_blob_in_the_store_is_named(mirror: Mirror, tmp_path: Path) -> None:
    await publish(mirror, tmp_path / "one", {"a": b"bytes"})
    blob = next((mirror.folder / "r/site/targets/inhouse/files").glob("*.a"))
    blob.unlink()
    blob.write_bytes(b"torn")
    with pytest.raises(StoreError, match="4 bytes in the store, 5 expected"):
        await publish(mirror, tmp_path / "two", {"a": b"bytes", "b": b"new"})


async def test_a_store_without_a_repository_says_so() -> None:
    repository = StoredRepository(MemoryStore(), "site")
    with pytest.raises(StateError, match="there is no repository site in this store") as caught:
        await repository.in_force()
    assert "sigmirror init" in caught.value.hint


async def test_a_memory_store_serves_as_well(mirror: Mirror, tmp_path: Path) -> None:
    store = MemoryStore()
    for name in names(mirror):
        await store.create(name, mirror.folder / name)
    editions = Editions(StoredRepository(store, "site"), mirror.sign, Journal(tmp_path / "journal"))
    publishing = Publishing(editions, keep_releases=3)
    published = await publishing.release(
        candidate(tmp_path / "in", {"a": b"x"}),
        channel="inhouse", track="stable", by=BY, now=NOW,
    )  # fmt: skip
    assert published.changed


PROGRAM = """
from mirror.publish import Publishing
from tests.mirror.site import BY, NOW, Mirror, candidate
mirror, folder = Mirror(Path(sys.argv[1])), Path(sys.argv[2])
publishing = Publishing(mirror.editions, keep_releases=10, sidecars=mirror.sidecar_key)
files = {f"rules-{n}.yar": b"new %d" % n for n in range(3)} | {"kept.yar": b"kept"}
run(publishing.release(
    candidate(folder, files), channel="inhouse", track="stable", by=BY, now=NOW))
"""


@pytest.mark.slow
def test_a_kill_at_any_change_of_a_publish_leaves_the_old_repository_whole(
    tmp_path: Path,
) -> None:
    kill_points.need_strace()
    mirror, rounds = Mirror(tmp_path), 0
    old = {"rules-0.yar": b"old", "kept.yar": b"kept"}
    new = {f"rules-{n}.yar": b"new %d" % n for n in range(3)} | {"kept.yar": b"kept"}

    def fresh() -> list[str]:
        nonlocal mirror, rounds
        rounds += 1
        mirror = Mirror.found(tmp_path / f"mirror-{rounds}")
        asyncio.run(publish(mirror, tmp_path / f"old-{rounds}", old))
        return [str(mirror.folder), str(tmp_path / f"new-{rounds}")]

    def check(when: str) -> None:
        client = mirror.client(tmp_path / f"client-{rounds}")
        assert client.contents("inhouse") in (old, new), when
        manifest = client.offered("inhouse")
        if manifest.sidecars:
            target = sidecars_target("inhouse", manifest.sequence)
            signed = decode_sidecars(client.blob(target, manifest.sidecars, 1 << 20), target)
            assert signed.signatures.keys() == new.keys(), when
        asyncio.run(publish(mirror, tmp_path / f"again-{rounds}", new))
        assert client.contents("inhouse") == new, when
        plain = mirror.client(tmp_path / f"cold-{rounds}")
        assert plain.contents("inhouse") == new, when

    kills = kill_points.every_kill(PROGRAM, log=tmp_path / "log", fresh=fresh, check=check)
    print(f"a publish was killed at {kills} points")
    assert kills > 20

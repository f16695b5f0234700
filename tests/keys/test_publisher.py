import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuf.api.exceptions import ExpiredMetadataError
from tuf.ngclient import Updater

from keys.errors import (
    DigestError,
    NameRefusedError,
    SignatureError,
    StateError,
    TrustError,
    UsageError,
)
from keys.signing.ceremony import Plan
from keys.signing.publisher import Changes, Publisher, RoleFile
from keys.signing.state import versions_taken
from tests.keys.signing_site import NOW, Site
from tests.loopback import folder_served

RELEASE = {"clamav": {"clamav/releases/1.json": b"one", "clamav/tracks/stable.json": b"->1"}}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.found(tmp_path / "mirror")


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    with folder_served(site.layout.repository) as url:
        yield url


def plain_client(site: Site, address: str, folder: Path, now: datetime) -> Updater:
    """Make python-tuf's own client, as if its clock said ``now``."""
    for name in ("metadata", "targets"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    client = Updater(
        str(folder / "metadata"),
        f"{address}/metadata/",
        str(folder / "targets"),
        f"{address}/targets/",
        bootstrap=site.founding.metadata[0].data,
    )
    client._trusted_set.reference_time = now
    return client


def signed(files: tuple[RoleFile, ...], name: str) -> Any:
    return json.loads(next(file.data for file in files if file.name == name))["signed"]


def test_a_plain_tuf_client_reads_every_target(site: Site, address: str, tmp_path: Path) -> None:
    deep = "clamav/files/a/b/c/d/e/f/g/deep.ndb"
    targets = {
        **RELEASE,
        "clamav-files": {"clamav/files/x.ndb": b"x", deep: b"deep"},
        "policy": {"policy/licence-status.json": b"{}", "policy/vendor/clamav.json": b"{1}"},
    }
    site.publish(targets)
    client = plain_client(site, address, tmp_path / "client", NOW)
    client.refresh()
    for files in targets.values():
        for path, data in files.items():
            info = client.get_targetinfo(path)
            assert info is not None, path
            assert Path(client.download_target(info)).read_bytes() == data
    assert client.get_targetinfo("clamav/releases/2.json") is None


def test_a_plain_tuf_client_follows_from_version_to_version(
    site: Site, address: str, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        now = NOW + timedelta(days=number)
        site.publish({"yara": {f"yara/releases/{number}.json": b"%d" % number}}, now=now)
        client = plain_client(site, address, tmp_path / "client", now)
        client.refresh()
        assert client.get_targetinfo(f"yara/releases/{number}.json") is not None


def test_files_come_in_publish_order_with_the_timestamp_last(site: Site) -> None:
    names = [file.name for file in site.publish(RELEASE)]
    assert names == [
        "2.channels.json",
        "1.clamav.json",
        "1.clamav-files.json",
        "2.snapshot.json",
        "2.timestamp.json",
        "timestamp.json",
    ]


def test_what_did_not_change_is_not_signed_again(site: Site) -> None:
    site.publish(RELEASE)
    assert site.publish(RELEASE) == ()
    assert site.publish({}) == ()
    names = [f.name for f in site.publish({"clamav": {"clamav/releases/2.json": b"two"}})]
    assert names == ["2.clamav.json", "3.snapshot.json", "3.timestamp.json", "timestamp.json"]


def test_equal_states_give_equal_bytes(site: Site) -> None:
    changes = site.changes(RELEASE)
    first = site.publisher().publish(changes, now=NOW)
    assert site.publisher().publish(changes, now=NOW) == first


def test_metadata_is_compact_and_pins_by_sha256_only(site: Site) -> None:
    for file in site.publish(RELEASE):
        assert b"\n" not in file.data
        assert b", " not in file.data
        assert b"sha512" not in file.data
    snapshot = signed(site.publish({"yara": {}}), "3.snapshot.json")
    assert all(set(meta["hashes"]) == {"sha256"} for meta in snapshot["meta"].values())


def test_a_version_that_lies_in_the_store_is_never_used_again(site: Site) -> None:
    site.publish(RELEASE)
    abandoned = site.publisher().publish(
        site.changes({"clamav": {"clamav/releases/2.json": b"crashed"}}), now=NOW
    )
    site.write(abandoned[:2])  # a crash before the timestamp
    assert [file.name for file in abandoned[:2]] == ["2.clamav.json", "3.snapshot.json"]
    names = [f.name for f in site.publish({"clamav": {"clamav/releases/2.json": b"two"}})]
    assert names == ["3.clamav.json", "4.snapshot.json", "3.timestamp.json", "timestamp.json"]


@pytest.mark.parametrize(
    ("hours", "due"),
    [
        (0, ()),
        (17, ()),
        (18, ("timestamp",)),
        (41, ("timestamp",)),
        (42, ("snapshot", "timestamp")),
        (180, ("clamav", "clamav-files", "policy", "channels", "snapshot", "timestamp")),
        (9999, ("clamav", "clamav-files", "policy", "channels", "snapshot", "timestamp")),
    ],
)
def test_a_role_is_due_at_a_quarter_of_its_validity(
    site: Site, hours: int, due: tuple[str, ...]
) -> None:
    site.publish(RELEASE)
    assert site.publisher().due(now=NOW + timedelta(hours=hours)) == due


def test_re_signing_the_timestamp_leaves_the_snapshot_alone(site: Site) -> None:
    names = [file.name for file in site.publish({}, now=NOW + timedelta(hours=20))]
    assert names == ["2.timestamp.json", "timestamp.json"]


def test_an_expired_repository_is_repaired(site: Site, address: str, tmp_path: Path) -> None:
    site.publish(RELEASE)
    later = NOW + timedelta(days=200)
    with pytest.raises(ExpiredMetadataError):
        plain_client(site, address, tmp_path / "client", later).refresh()
    site.publish({}, now=later)
    client = plain_client(site, address, tmp_path / "client", later)
    client.refresh()
    assert client.get_targetinfo("clamav/releases/1.json") is not None


def test_expiry_is_chosen_by_role(site: Site) -> None:
    publisher = site.publisher(timestamp=timedelta(hours=8), clamav=timedelta(days=2))
    files = publisher.publish(site.changes(RELEASE), now=NOW)
    assert signed(files, "2.timestamp.json")["expires"] == "2026-03-01T20:00:00Z"
    assert signed(files, "1.clamav.json")["expires"] == "2026-03-03T12:00:00Z"
    assert signed(files, "1.clamav-files.json")["expires"] == "2026-03-31T12:00:00Z"


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "Upper", "a/b", "x-files-files"])
def test_a_role_that_is_no_channel_is_refused(site: Site, role: str) -> None:
    with pytest.raises(NameRefusedError):
        site.publisher().publish(Changes({role: {}}), now=NOW)


@pytest.mark.parametrize(
    ("role", "path"),
    [
        ("clamav", "yara/releases/1.json"),
        ("clamav", "clamav/files/x"),
        ("clamav", "clamav/releases/a/b.json"),
        ("clamav-files", "clamav/releases/1.json"),
        ("clamav-files", "clamav/files/1/2/3/4/5/6/7/8/9"),
        ("policy", "clamav/releases/1.json"),
    ],
)
def test_a_target_outside_its_role_is_refused(site: Site, role: str, path: str) -> None:
    with pytest.raises(UsageError, match="may not list"):
        site.publisher().publish(site.changes({role: {path: b""}}), now=NOW)


def test_a_target_planted_in_the_store_is_never_signed(site: Site) -> None:
    site.publish(RELEASE)
    path = site.layout.metadata / "1.clamav.json"
    path.write_bytes(path.read_bytes().replace(b"tracks/stable", b"tracks/canary"))
    with pytest.raises(TrustError, match="clamav"):
        site.publisher()


def test_a_role_lost_from_the_store_is_not_started_again_at_one(site: Site) -> None:
    site.publish(RELEASE)
    metadata = site.layout.read()
    del metadata["clamav"]
    with pytest.raises(StateError, match="clamav: its metadata is missing"):
        Publisher(metadata, {})


def test_metadata_signed_by_a_stranger_is_refused(site: Site, tmp_path: Path) -> None:
    stranger = Site.found(tmp_path / "stranger")
    forged = {**stranger.layout.read(), "root": site.layout.read()["root"]}
    with pytest.raises(SignatureError, match="targets"):
        Publisher(forged, {})


def test_metadata_under_another_roles_name_is_refused(site: Site) -> None:
    metadata = site.layout.read()
    with pytest.raises(DigestError, match="policy"):
        Publisher({**metadata, "policy": metadata["channels"]}, {})


def test_metadata_older_than_the_snapshot_lists_is_refused(site: Site) -> None:
    before = site.layout.read()
    site.publish(RELEASE)
    with pytest.raises(StateError, match="channels: version 1; the snapshot lists 2"):
        Publisher({**site.layout.read(), "channels": before["channels"]}, {})


def test_keys_of_another_repository_cannot_sign(site: Site, tmp_path: Path) -> None:
    other = Site.found(tmp_path / "other")
    publisher = Publisher(site.layout.read(), other.publisher()._signers)
    with pytest.raises(UsageError, match="the role channels needs 1 of the keys"):
        publisher.publish(site.changes(RELEASE), now=NOW)


def test_one_key_per_role_serves_as_well_as_one_for_all(tmp_path: Path) -> None:
    site = Site.found(tmp_path / "mirror", Plan(separate_online_keys=True))
    files = site.publish(RELEASE)
    keyids = {
        file.name: json.loads(file.data)["signatures"][0]["keyid"]
        for file in files
        if file.name != "timestamp.json"
    }
    assert len(set(keyids.values())) == len(keyids) - 1  # both channel roles share a key


@given(st.lists(st.sampled_from(["write", "crash", "wait", "add"]), max_size=8))
def test_versions_only_rise_and_every_state_verifies(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    site = Site.found(tmp_path_factory.mktemp("mirror"))
    now = NOW
    for number, step in enumerate(steps):
        before = site.layout.taken()
        now += timedelta(days=2 if step == "wait" else 0)
        role = f"c{number}" if step == "add" else "clamav"
        changes = site.changes({role: {f"{role}/releases/{number}.json": b"%d" % number}})
        files = site.publisher().publish(changes, now=now)
        written = files[: number % len(files)] if step == "crash" else files
        assert not {file.name for file in written[:-1]} & {
            path.name for path in site.layout.metadata.iterdir()
        }
        site.write(written)
        after = versions_taken(path.name for path in site.layout.metadata.iterdir())
        assert all(after[name] >= version for name, version in before.items())
        site.publisher()

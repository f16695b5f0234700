"""Pointers, manifests, policies and file lists: each checked against what vouches for it."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from keys.errors import DigestError, LimitError, MissingError, NameRefusedError, TrustError
from keys.model import release
from keys.model.release import LicenceStatus, Manifest, Pin, Pointer, Policy
from keys.trust.channel import Channels
from keys.trust.source import Nowhere
from tests.keys.trusting import Host
from tests.tuf_repository import ChannelRepository, now

FILES = {"a.yar": b"rule a { condition: false }", "deep/b.yar": b"rule b { condition: false }"}


@pytest.fixture
def server() -> ChannelRepository:
    server = ChannelRepository("clamav", "inhouse")
    server.release("clamav", FILES, sequence=1, published=now() - timedelta(days=2))
    server.release("clamav", {**FILES, "c.yar": b"c"}, sequence=2)
    return server


@pytest.fixture
def host(tmp_path: Path, server: ChannelRepository) -> Host:
    return Host.trusting(tmp_path, server)


def channels(host: Host, server: ChannelRepository) -> Channels:
    repository = host.repository()
    repository.refresh(server, now=now())
    return Channels(repository, server, server.read_target)


def test_a_track_leads_to_its_manifest_and_the_manifest_to_its_files(
    host: Host, server: ChannelRepository
) -> None:
    reader = channels(host, server)
    pointer = reader.pointer("clamav", "stable")
    assert pointer is not None
    manifest = reader.pointed("clamav", pointer)
    assert (manifest.channel, manifest.sequence) == ("clamav", 2)
    assert [file.path for file in reader.files(manifest)] == ["a.yar", "c.yar", "deep/b.yar"]


def test_a_track_or_policy_that_is_not_there_is_none(host: Host, server: ChannelRepository) -> None:
    reader = channels(host, server)
    assert reader.pointer("clamav", "canary") is None
    assert reader.pointer("inhouse", "stable") is None
    assert reader.policy("vendor", "clamav") is None
    assert reader.licence_status() is None


def test_a_track_may_go_back_as_an_ordered_rollback(host: Host, server: ChannelRepository) -> None:
    channels(host, server)
    server.point("clamav", "stable", 1)
    pointer = channels(host, server).pointer("clamav", "stable")
    assert pointer is not None
    assert pointer.sequence == 1


def test_manifests_come_newest_first_and_only_as_they_are_asked_for(
    host: Host, server: ChannelRepository
) -> None:
    reader = channels(host, server)
    server.requests.clear()
    pin, newest = next(reader.manifests("clamav"))
    assert newest.sequence == 2
    assert pin == reader.manifest_pins("clamav")[2]
    assert [name for name in server.requests if "releases" in name] == ["clamav/releases/2.json"]
    assert [manifest.sequence for _, manifest in reader.manifests("clamav")] == [2, 1]


def test_a_channel_nobody_delegates_is_missing(host: Host, server: ChannelRepository) -> None:
    with pytest.raises(MissingError, match="no role 'ghost'"):
        channels(host, server).manifest_pins("ghost")


@pytest.mark.parametrize("name", ["root", "../clamav", "Clamav", "clamav-files", ""])
def test_a_name_that_is_no_channel_is_refused_before_anything_is_asked(
    host: Host, server: ChannelRepository, name: str
) -> None:
    reader = channels(host, server)
    with pytest.raises(NameRefusedError):
        reader.pointer(name, "stable")


def test_a_policy_chooses_a_release_of_another_repository(
    host: Host, server: ChannelRepository
) -> None:
    policy = Policy({"stable": Pointer(7, "0" * 64)})
    server.add_target("policy", release.policy_target("vendor", "av"), release.encode(policy))
    status = LicenceStatus(())
    server.add_target("policy", release.LICENCE_STATUS_TARGET, release.encode(status))
    server.publish("policy", "snapshot", "timestamp")
    reader = channels(host, server)
    assert reader.policy("vendor", "av") == policy
    assert reader.licence_status() == status


def test_a_pointer_to_another_manifest_than_the_role_pins_is_refused(
    host: Host, server: ChannelRepository
) -> None:
    pointer = Pointer(2, "0" * 64)
    with pytest.raises(DigestError, match="the pointer names the sha256 0000"):
        channels(host, server).pointed("clamav", pointer)


def test_a_pointer_to_a_release_nobody_lists_is_refused(
    host: Host, server: ChannelRepository
) -> None:
    with pytest.raises(TrustError, match=r"releases/9\.json: no trusted role lists it"):
        channels(host, server).pointed("clamav", Pointer(9, "0" * 64))


@pytest.mark.parametrize(
    "change", [{"channel": "inhouse"}, {"sequence": 8}], ids=["channel", "sequence"]
)
def test_a_manifest_that_is_of_another_release_is_refused(
    host: Host, server: ChannelRepository, change: dict[str, object]
) -> None:
    """Attack: mix-and-match, a valid manifest published in the place of another."""
    manifest = server.release("clamav", FILES, sequence=3)
    wrong = msgspec.structs.replace(manifest, **change)
    server.add_target("clamav", release.manifest_target("clamav", 3), release.encode(wrong))
    server.publish("clamav", "snapshot", "timestamp")
    with pytest.raises(TrustError, match=r"clamav/releases/3\.json: is of"):
        channels(host, server).manifest("clamav", 3)


def test_a_channel_cannot_speak_for_another_one(host: Host, server: ChannelRepository) -> None:
    forged = release.encode(Pointer(1, "0" * 64))
    server.add_target("inhouse", release.track_target("clamav", "canary"), forged)
    server.publish("inhouse", "snapshot", "timestamp")
    assert channels(host, server).pointer("clamav", "canary") is None


@pytest.mark.parametrize(
    "place",
    ["clamav/releases/2.json", "clamav/tracks/stable.json", "clamav/files/@list/2.json.zst"],
)
def test_bytes_that_are_not_the_pinned_ones_are_refused_by_name(
    host: Host, server: ChannelRepository, place: str
) -> None:
    folder, _, name = place.rpartition("/")
    for path in [
        p for p in server.files if p.startswith(f"targets/{folder}/") and p.endswith(name)
    ]:
        server.files[path] = bytes(len(server.files[path]))
    reader = channels(host, server)
    with pytest.raises(DigestError, match=f"repository site: {place}"):
        read_all(reader)


def read_all(reader: Channels) -> tuple[Manifest, int]:
    pointer = reader.pointer("clamav", "stable")
    assert pointer is not None
    manifest = reader.pointed("clamav", pointer)
    return manifest, len(reader.files(manifest))


def test_a_manifest_larger_than_its_limit_is_not_even_asked_for(
    host: Host, server: ChannelRepository
) -> None:
    target = release.manifest_target("clamav", 3)
    server.add_target("clamav", target, b" " * (release.MAX_MANIFEST_BYTES + 1))
    server.publish("clamav", "snapshot", "timestamp")
    reader = channels(host, server)
    server.requests.clear()
    with pytest.raises(LimitError, match="more than 1048576"):
        reader.manifest("clamav", 3)
    assert target not in server.requests


def test_a_release_with_a_hostile_path_is_refused(host: Host, server: ChannelRepository) -> None:
    hostile = release.File("../../etc/cron.d/x", "0" * 64, 1)
    data = release.encode_file_list((hostile,))
    manifest = msgspec.structs.replace(
        server.release("clamav", FILES, sequence=3), file_list=Pin.of(data)
    )
    place = release.blob_name(release.file_list_target("clamav", 3), Pin.of(data).sha256)
    server.files[f"targets/{place}"] = data
    with pytest.raises(TrustError, match=r"\.\./\.\./etc"):
        channels(host, server).files(manifest)


def test_the_time_a_manifest_was_published_is_a_floor_under_the_clock(
    host: Host, server: ChannelRepository
) -> None:
    read_all(channels(host, server))
    published = now() - timedelta(hours=1)
    assert host.refresh(server, at=now() - timedelta(days=4000)).reference > published


def test_without_a_mirror_what_was_read_before_is_still_found(
    host: Host, server: ChannelRepository
) -> None:
    read_all(channels(host, server))
    repository = host.repository()
    assert repository.load(now=server.expires + timedelta(days=1)).fresh is False
    manifest, files = read_all(Channels(repository, Nowhere(), server.read_target))
    assert (manifest.sequence, files) == (2, 3)

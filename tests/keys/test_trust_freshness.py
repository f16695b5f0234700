"""The cheap question: has anything changed since the last settled run?"""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from keys.trust.freshness import unchanged
from keys.trust.source import Once
from keys.trust.tuf_api import MetaFile
from tests.keys.trusting import Host
from tests.tuf_repository import ChannelRepository, SignedRepository, now


@pytest.fixture
def server() -> SignedRepository:
    server = SignedRepository()
    server.delegate("targets", "team", ["team/*"])
    server.add_target("team", "team/a", b"a")
    server.publish_all()
    return server


@pytest.fixture
def host(tmp_path: Path, server: SignedRepository) -> Host:
    host = Host.trusting(tmp_path, server)
    settle(host, server)
    server.requests.clear()
    return host


def settle(host: Host, server: SignedRepository) -> None:
    repository = host.repository()
    repository.refresh(server, now=now())
    repository.find("team/a", server)
    repository.settle()


def is_unchanged(
    host: Host, server: SignedRepository | Once, *, later: timedelta = timedelta()
) -> bool:
    return unchanged(host.metadata, host.clock, server, now=now() + later)


def test_nothing_changed_is_known_from_exactly_two_requests(
    host: Host, server: SignedRepository
) -> None:
    assert is_unchanged(host, server)
    assert server.requests == ["2.root.json", "timestamp.json"]


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot"])
def test_a_new_role_is_a_change(host: Host, server: SignedRepository, role: str) -> None:
    server.publish(role, "timestamp")
    assert not is_unchanged(host, server)


def test_other_bytes_of_an_equal_version_are_not_taken_for_the_same(
    host: Host, server: SignedRepository
) -> None:
    server.timestamp.snapshot_meta = MetaFile(100)
    server.resign("timestamp")
    assert not is_unchanged(host, server)


def test_a_frozen_mirror_is_noticed_when_the_first_role_in_use_expires(
    host: Host, server: SignedRepository
) -> None:
    """Attack: freeze, by serving the same valid files for ever."""
    server.targets("team").expires = now() + timedelta(days=2)
    server.publish_all()
    settle(host, server)
    assert is_unchanged(host, server, later=timedelta(days=1))
    assert not is_unchanged(host, server, later=timedelta(days=3))


def test_a_run_that_did_not_settle_is_done_again(host: Host, server: SignedRepository) -> None:
    server.publish("timestamp")
    host.refresh(server)
    assert not is_unchanged(host, server)
    settle(host, server)
    assert is_unchanged(host, server)


@pytest.mark.parametrize("file", ["timestamp.json", "../clock.json"])
def test_a_lost_file_is_never_taken_for_no_change(
    host: Host, server: SignedRepository, file: str
) -> None:
    (host.metadata / file).unlink()
    assert not is_unchanged(host, server)


def test_a_mirror_without_a_timestamp_is_never_taken_for_no_change(
    host: Host, server: SignedRepository
) -> None:
    del server.files["metadata/timestamp.json"]
    assert not is_unchanged(host, server)


def test_after_the_question_a_refresh_asks_for_nothing_twice(
    host: Host, server: SignedRepository
) -> None:
    server.publish("snapshot", "timestamp")
    source = Once(server)
    assert not is_unchanged(host, source)
    host.refresh(source)
    assert server.requests == ["2.root.json", "timestamp.json", "3.snapshot.json"]


def test_a_clock_set_back_does_not_make_an_expired_copy_fresh(tmp_path: Path) -> None:
    server = ChannelRepository("clamav", at=now() - timedelta(days=29))
    host = Host.trusting(tmp_path, server)
    repository = host.repository()
    repository.refresh(server, now=now())
    repository.witness(now())
    repository.settle()
    assert is_unchanged(host, server, later=-timedelta(days=4000))
    server.roles["timestamp"].signed.expires = now() - timedelta(seconds=1)
    server.publish("timestamp")
    assert not is_unchanged(host, server, later=-timedelta(days=4000))


def test_the_question_loads_neither_tuf_nor_cryptography() -> None:
    heavy = ("tuf", "securesystemslib", "cryptography", "urllib3", "boto3")
    code = (
        "import sys, keys.trust.freshness, keys.trust.source\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"


def test_the_repository_loads_no_client_of_others_and_no_cloud_library() -> None:
    heavy = ("tuf.ngclient", "boto3", "botocore", "requests", "urllib3")
    code = (
        "import sys, keys.trust.repository, keys.trust.channel\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"

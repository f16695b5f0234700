"""The client workflow: what is accepted, what is refused, and what stays on disk."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keys.errors import (
    DigestError,
    Error,
    ExpiredError,
    FetchError,
    LimitError,
    LockedError,
    RollbackError,
    SignatureError,
    StateError,
    TrustError,
)
from keys.files import lock
from keys.trust.limits import MetadataLimits
from keys.trust.source import Nowhere
from keys.trust.tuf_api import CryptoSigner, MetaFile, SSlibKey
from tests.keys.trusting import Host
from tests.tuf_cases import ROTATIONS, SIGNING, publish_roots, publish_signed
from tests.tuf_repository import SignedRepository, now

DAY = timedelta(days=1)


@pytest.fixture
def server() -> SignedRepository:
    return SignedRepository()


@pytest.fixture
def host(tmp_path: Path, server: SignedRepository) -> Host:
    return Host.trusting(tmp_path, server)


def test_a_first_refresh_asks_for_four_files_and_keeps_their_very_bytes(
    host: Host, server: SignedRepository
) -> None:
    assert host.refresh(server).changed
    assert server.requests == ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    for role in ("root", "timestamp", "snapshot", "targets"):
        assert host.trusted(role) == server.newest(role)


def test_a_second_refresh_asks_for_two_files_and_changes_nothing(
    host: Host, server: SignedRepository
) -> None:
    host.refresh(server)
    server.requests.clear()
    before = host.everything()
    outcome = host.refresh(server)
    assert (outcome.changed, outcome.timestamp_version) == (False, 1)
    assert server.requests == ["2.root.json", "timestamp.json"]
    assert host.everything() == before


def test_without_consistent_snapshots_names_carry_no_version(tmp_path: Path) -> None:
    server = SignedRepository(consistent=False)
    host = Host.trusting(tmp_path, server)
    host.refresh(server)
    assert server.requests == ["2.root.json", "timestamp.json", "snapshot.json", "targets.json"]


def test_a_refresh_without_a_trusted_root_makes_no_request(
    tmp_path: Path, server: SignedRepository
) -> None:
    with pytest.raises(StateError, match="nothing is trusted yet as root"):
        Host(tmp_path).refresh(server)
    assert server.requests == []


class TestBootstrap:
    def test_a_root_not_signed_by_its_own_keys_is_refused(
        self, tmp_path: Path, server: SignedRepository
    ) -> None:
        server.signers["root"] = [CryptoSigner.generate_ed25519()]
        server.resign("root")
        with pytest.raises(SignatureError, match="the given root: signed by 0 of the 1 keys"):
            Host(tmp_path).repository().bootstrap(server.newest("root"))

    def test_the_same_root_or_an_ancestor_changes_nothing(
        self, host: Host, server: SignedRepository
    ) -> None:
        server.publish("root")
        host.refresh(server)
        before = host.everything()
        host.repository().bootstrap(server.first_root)
        host.repository().bootstrap(server.newest("root"))
        assert host.everything() == before

    def test_an_older_root_of_another_repository_never_replaces_a_newer_one(
        self, host: Host, server: SignedRepository
    ) -> None:
        server.publish("root")
        host.refresh(server)
        with pytest.raises(RollbackError, match="is version 1, but 2 is trusted"):
            host.repository().bootstrap(SignedRepository().first_root)
        assert host.trusted("root") == server.newest("root")

    def test_another_root_of_the_same_version_is_refused_and_the_way_out_is_named(
        self, host: Host, server: SignedRepository
    ) -> None:
        with pytest.raises(TrustError, match="another root of version 1") as caught:
            host.repository().bootstrap(SignedRepository().first_root)
        assert str(host.metadata) in caught.value.hint
        assert host.trusted("root") == server.first_root

    def test_a_newer_root_given_by_the_operator_is_taken(
        self, host: Host, server: SignedRepository
    ) -> None:
        for _ in range(3):
            server.publish("root")
        host.repository().bootstrap(server.newest("root"))
        assert host.trusted("root") == server.newest("root")


@pytest.mark.parametrize(("versions", "reached"), ROTATIONS.values(), ids=ROTATIONS)
def test_a_host_follows_the_chain_of_roots_as_far_as_it_is_signed(
    tmp_path: Path,
    server: SignedRepository,
    versions: list[tuple[list[int], int, list[int]]],
    reached: int,
) -> None:
    publish_roots(server, versions)
    host = Host.trusting(tmp_path, server)
    if reached == len(versions):
        host.refresh(server)
    else:
        with pytest.raises(SignatureError):
            host.refresh(server)
        assert host.trusted("timestamp") is None
    assert host.trusted("root") == server.files[f"metadata/{reached}.root.json"]


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize(
    ("keys", "threshold", "signing", "accepted"), SIGNING.values(), ids=SIGNING
)
def test_a_role_needs_the_threshold_of_its_own_keys(
    host: Host,
    server: SignedRepository,
    role: str,
    keys: list[int],
    threshold: int,
    signing: list[int],
    accepted: bool,
) -> None:
    publish_signed(server, role, keys, threshold, signing)
    if accepted:
        host.refresh(server)
        assert host.trusted(role) == server.newest(role)
        return
    with pytest.raises(SignatureError, match=rf"{role}\.json: signed by"):
        host.refresh(server)
    assert host.trusted(role) is None


def test_one_key_under_two_names_is_one_key(host: Host, server: SignedRepository) -> None:
    private = Ed25519PrivateKey.generate()
    twins = [
        CryptoSigner(private, SSlibKey.from_crypto(private.public_key(), keyid=keyid))
        for keyid in ("one-name", "another-name")
    ]
    server.root.roles["timestamp"].keyids.clear()
    server.signers["timestamp"] = []
    for twin in twins:
        server.add_key("timestamp", twin)
    server.root.roles["timestamp"].threshold = 2
    server.publish("root", "timestamp")
    with pytest.raises(SignatureError, match="signed by 1 of the 2 keys"):
        host.refresh(server)


@pytest.mark.parametrize(
    "generate",
    [
        pytest.param(CryptoSigner.generate_ed25519, id="ed25519"),
        pytest.param(CryptoSigner.generate_ecdsa, id="ecdsa"),
        pytest.param(CryptoSigner.generate_rsa, id="rsa"),
        pytest.param(CryptoSigner.generate_mldsa, id="ml-dsa"),
    ],
)
def test_keys_of_every_common_kind_are_understood(
    host: Host, server: SignedRepository, generate: Callable[[], CryptoSigner]
) -> None:
    server.rotate("targets")
    server.signers["targets"] = []
    server.add_key("targets", generate())
    server.publish("root", "targets", "snapshot", "timestamp")
    host.refresh(server)
    assert host.trusted("targets") == server.newest("targets")


def test_three_post_quantum_signatures_fit_a_timestamp(
    host: Host, server: SignedRepository
) -> None:
    for _ in range(3):
        server.add_key("timestamp", CryptoSigner.generate_mldsa())
    server.publish("root", "timestamp")
    assert len(server.newest("timestamp")) > 16_384
    host.refresh(server)


class TestRollback:
    """Attack: rollback, and mix-and-match of old roles with new ones."""

    def test_an_older_timestamp_is_refused(self, host: Host, server: SignedRepository) -> None:
        old = server.newest("timestamp")
        server.publish("timestamp")
        host.refresh(server)
        server.files["metadata/timestamp.json"] = old
        with pytest.raises(RollbackError, match="is version 1, but 2 was trusted before"):
            host.refresh(server)
        assert b'"version":2' in (host.trusted("timestamp") or b"")

    def test_an_equal_timestamp_with_other_content_is_ignored(
        self, host: Host, server: SignedRepository
    ) -> None:
        host.refresh(server)
        kept = host.trusted("timestamp")
        server.timestamp.snapshot_meta = MetaFile(100)
        server.resign("timestamp")
        assert not host.refresh(server).changed
        assert host.trusted("timestamp") == kept

    def test_a_timestamp_that_leads_to_an_older_snapshot_is_refused(
        self, host: Host, server: SignedRepository
    ) -> None:
        server.publish("snapshot", "timestamp")
        host.refresh(server)
        server.timestamp.snapshot_meta = MetaFile(1)
        server.publish("timestamp")
        with pytest.raises(RollbackError, match=r"timestamp\.json: its snapshot: is version 1"):
            host.refresh(server)

    def test_a_snapshot_of_another_version_than_listed_is_refused(
        self, host: Host, server: SignedRepository
    ) -> None:
        old = server.newest("snapshot")
        server.publish("snapshot", "timestamp")
        server.files["metadata/2.snapshot.json"] = old
        with pytest.raises(RollbackError, match=r"snapshot\.json: is version 1, not 2"):
            host.refresh(server)
        assert host.trusted("snapshot") is None

    @pytest.mark.parametrize("hashes", [False, True], ids=["plain", "with hashes"])
    def test_a_snapshot_that_goes_back_in_a_role_is_refused(
        self, host: Host, server: SignedRepository, hashes: bool
    ) -> None:
        server.list_hashes = hashes
        server.publish("targets", "snapshot", "timestamp")
        host.refresh(server)
        server.snapshot.meta["targets.json"] = MetaFile(1)
        server.publish("snapshot", "timestamp")
        with pytest.raises(RollbackError, match=r"its targets\.json: is version 1"):
            host.refresh(server)
        assert b'"version":2' in (host.trusted("targets") or b"")

    def test_a_snapshot_that_drops_a_role_is_refused(
        self, host: Host, server: SignedRepository
    ) -> None:
        server.delegate("targets", "team")
        server.publish_all()
        host.refresh(server)
        del server.snapshot.meta["team.json"]
        server.publish("snapshot", "timestamp")
        with pytest.raises(RollbackError, match=r"lists team\.json no longer"):
            host.refresh(server)

    @pytest.mark.parametrize("role", ["snapshot", "targets"])
    def test_an_old_role_under_a_new_name_is_refused(
        self, host: Host, server: SignedRepository, role: str
    ) -> None:
        host.refresh(server)
        old = server.newest(role)
        server.publish("targets", "snapshot", "timestamp")
        server.files[f"metadata/2.{role}.json"] = old
        with pytest.raises(RollbackError, match=rf"{role}\.json: is version 1, not 2"):
            host.refresh(server)
        assert host.trusted(role) == old

    def test_the_next_root_must_be_the_next_version(
        self, host: Host, server: SignedRepository
    ) -> None:
        server.root.version = 3
        server.resign("root")
        server.files["metadata/2.root.json"] = server.files.pop("metadata/3.root.json")
        with pytest.raises(RollbackError, match="is version 3, not 2"):
            host.refresh(server)

    @pytest.mark.parametrize("role", ["timestamp", "snapshot"])
    def test_new_keys_let_a_repository_recover_from_a_version_run_high(
        self, host: Host, server: SignedRepository, role: str
    ) -> None:
        server.roles[role].signed.version = 99_999
        server.resign(role)
        server.publish("timestamp")
        host.refresh(server)
        server.rotate("timestamp")
        server.rotate("snapshot")
        server.snapshot.version = server.timestamp.version = 1
        server.publish("root", "snapshot", "timestamp")
        host.refresh(server)
        assert host.trusted(role) == server.newest(role)


class TestFreeze:
    """Attack: freeze, by serving what has expired or by turning the clock."""

    @pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
    def test_an_expired_role_is_refused_naming_both_times(
        self, host: Host, server: SignedRepository, role: str
    ) -> None:
        at = now()
        server.roles[role].signed.expires = at - DAY
        server.publish("root", "targets", "snapshot", "timestamp")
        with pytest.raises(
            ExpiredError,
            match=rf"{role}\.json: expired at {at - DAY:%Y-%m-%d}.*by this host's clock",
        ):
            host.refresh(server, at=at)
        if role != "root":
            assert host.trusted(role) is None

    def test_an_expired_root_is_kept_so_that_the_next_one_can_follow(
        self, host: Host, server: SignedRepository
    ) -> None:
        server.root.expires = now() - DAY
        server.publish("root")
        with pytest.raises(ExpiredError):
            host.refresh(server)
        assert host.trusted("root") == server.newest("root")
        server.root.expires = now() + DAY
        server.publish("root")
        assert host.refresh(server).changed

    def test_an_expired_copy_never_blocks_the_next_roles(
        self, host: Host, server: SignedRepository
    ) -> None:
        host.refresh(server)
        later = now() + 300 * DAY
        for role in server.roles.values():
            role.signed.expires = later + DAY
        server.publish("root", "targets", "snapshot", "timestamp")
        assert host.refresh(server, at=later).timestamp_version == 2

    def test_what_expired_since_is_refused_and_kept(
        self, host: Host, server: SignedRepository
    ) -> None:
        host.refresh(server)
        before = host.everything()
        with pytest.raises(ExpiredError, match="expired at") as caught:
            host.refresh(server, at=server.expires)
        assert "set this host's clock" in caught.value.hint
        assert host.everything() == before

    def test_a_delegated_role_that_expired_is_not_used(
        self, host: Host, server: SignedRepository
    ) -> None:
        server.delegate("targets", "team", ["team/*"])
        server.add_target("team", "team/a", b"a")
        server.targets("team").expires = now() + DAY
        server.publish_all()
        assert host.find("team/a", server) is not None
        with pytest.raises(ExpiredError, match=r"team\.json"):
            host.find("team/a", server, at=now() + 2 * DAY)

    def test_a_clock_set_back_years_does_not_bring_expired_metadata_back(
        self, host: Host, server: SignedRepository
    ) -> None:
        repository = host.repository()
        repository.refresh(server, now=now())
        repository.witness(now())
        long_ago = now() - 3000 * DAY
        server.timestamp.expires = now() - DAY
        server.publish("timestamp")
        with pytest.raises(ExpiredError, match="by the newest signed time seen"):
            host.refresh(server, at=long_ago)

    def test_a_clock_years_ahead_loses_nothing_once_it_is_right_again(
        self, host: Host, server: SignedRepository
    ) -> None:
        host.refresh(server)
        ahead = now() + 4000 * DAY
        with pytest.raises(ExpiredError, match=f"it is {ahead:%Y}"):
            host.refresh(server, at=ahead)
        assert not host.load(at=ahead).fresh
        assert host.load().fresh
        assert not host.refresh(server).changed

    def test_no_signed_time_lifts_the_floor_past_a_role_in_force(
        self, host: Host, server: SignedRepository
    ) -> None:
        repository = host.repository()
        repository.refresh(server, now=now())
        repository.witness(server.expires + DAY)
        assert host.refresh(server).reference < server.expires


class TestMalformed:
    """Attack: bytes that are no metadata, too much of it, or of the wrong kind."""

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"<html>log in</html>", "not JSON"),
            (b"", "not JSON"),
            (b"[]", "not TUF metadata"),
            (b'{"signed": {"_type": "timestamp"}, "signatures": []}', "not TUF metadata"),
            (b"[" * 20_000, "not JSON"),
            (b'{"payloadType": "application/vnd.tuf+json", "payload": ""}', "a DSSE envelope"),
        ],
        ids=["a captive portal", "nothing", "a list", "half a role", "deep nesting", "DSSE"],
    )
    @pytest.mark.parametrize("name", ["2.root.json", "timestamp.json"])
    def test_bytes_that_are_no_metadata_are_refused_by_what_they_are(
        self, host: Host, server: SignedRepository, name: str, data: bytes, reason: str
    ) -> None:
        server.files[f"metadata/{name}"] = data
        with pytest.raises(TrustError, match=f"{name}: {reason}"):
            host.refresh(server)
        assert host.trusted("root") == server.first_root

    def test_a_role_of_another_kind_is_refused(self, host: Host, server: SignedRepository) -> None:
        server.files["metadata/timestamp.json"] = server.newest("snapshot")
        with pytest.raises(TrustError, match="holds the role snapshot, not timestamp"):
            host.refresh(server)

    @pytest.mark.parametrize("role", ["snapshot", "targets"])
    def test_bytes_that_differ_from_a_listed_digest_are_refused(
        self, host: Host, server: SignedRepository, role: str
    ) -> None:
        server.list_hashes = True
        server.publish("targets", "snapshot", "timestamp")
        server.files[f"metadata/2.{role}.json"] = server.newest(role)[:-1] + b" "
        with pytest.raises(DigestError, match=rf"{role}\.json"):
            host.refresh(server)
        assert host.trusted(role) is None

    @pytest.mark.parametrize(
        "name", ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    )
    def test_a_role_larger_than_its_limit_is_never_read_to_the_end(
        self, tmp_path: Path, server: SignedRepository, name: str
    ) -> None:
        host = Host(tmp_path, MetadataLimits(3000, 3000, 3000, 3000))
        host.repository().bootstrap(server.first_root)
        server.files[f"metadata/{name}"] = b" " * 3001
        with pytest.raises(LimitError, match="more than 3000 bytes"):
            host.refresh(server)

    def test_endless_roots_end_at_the_named_limit_and_go_on_next_time(
        self, tmp_path: Path, server: SignedRepository
    ) -> None:
        for _ in range(5):
            server.publish("root")
        host = Host(tmp_path, MetadataLimits(max_root_rotations=3))
        host.repository().bootstrap(server.first_root)
        host.refresh(server)
        assert json.loads(host.trusted("root") or b"")["signed"]["version"] == 4
        host.refresh(server)
        assert json.loads(host.trusted("root") or b"")["signed"]["version"] == 6

    @pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json"])
    def test_a_file_the_mirror_lacks_fails_and_keeps_what_there_was(
        self, host: Host, server: SignedRepository, name: str
    ) -> None:
        host.refresh(server)
        server.publish("targets", "snapshot", "timestamp")
        del server.files[f"metadata/{name}"]
        with pytest.raises(FetchError, match=f"{name}: the mirror does not have it"):
            host.refresh(server)
        assert json.loads(host.trusted("targets") or b"")["signed"]["version"] == 1

    def test_fields_nobody_knows_are_signed_and_accepted(
        self, host: Host, server: SignedRepository
    ) -> None:
        server.root.unrecognized_fields["colour"] = {"is": "blue"}
        server.publish("root")
        host.refresh(server)
        assert host.trusted("root") == server.newest("root")

    def test_a_damaged_copy_is_fetched_anew(self, host: Host, server: SignedRepository) -> None:
        host.refresh(server)
        for role in ("timestamp", "snapshot", "targets"):
            (host.metadata / f"{role}.json").write_bytes(b"{")
        host.refresh(server)
        assert host.trusted("targets") == server.newest("targets")

    def test_a_damaged_clock_file_is_named_with_the_way_out(
        self, host: Host, server: SignedRepository
    ) -> None:
        host.clock.write_bytes(b"{")
        with pytest.raises(StateError, match=r"clock\.json") as caught:
            host.refresh(server)
        assert "remove the file" in caught.value.hint


class TestWithoutAMirror:
    def test_a_fresh_copy_is_fresh(self, host: Host, server: SignedRepository) -> None:
        host.refresh(server)
        freshness = host.load()
        assert freshness.fresh
        assert freshness.expires == server.expires

    def test_an_expired_copy_is_stale_but_still_vouches_for_its_targets(
        self, host: Host, server: SignedRepository
    ) -> None:
        server.delegate("targets", "team", ["team/*"])
        pin = server.add_target("team", "team/a", b"a")
        server.publish_all()
        assert host.find("team/a", server) == pin
        repository = host.repository()
        freshness = repository.load(now=server.expires)
        assert not freshness.fresh
        assert any("team expired at" in reason for reason in freshness.reasons)
        assert repository.find("team/a", Nowhere()) == pin

    def test_an_update_cut_in_the_middle_is_stale_and_not_a_forgery(
        self, host: Host, server: SignedRepository
    ) -> None:
        host.refresh(server)
        server.publish("targets", "snapshot", "timestamp")
        del server.files["metadata/2.snapshot.json"]
        with pytest.raises(FetchError):
            host.refresh(server)
        freshness = host.load()
        assert not freshness.fresh
        assert "snapshot.json: is version 1, 2 is listed" in freshness.reasons[0]

    def test_a_copy_someone_changed_is_refused(self, host: Host, server: SignedRepository) -> None:
        host.refresh(server)
        other = SignedRepository()
        (host.metadata / "targets.json").write_bytes(other.newest("targets"))
        with pytest.raises(SignatureError, match=r"trusted targets\.json"):
            host.load()

    def test_an_incomplete_copy_is_named(self, host: Host) -> None:
        with pytest.raises(StateError, match="nothing is trusted yet as timestamp"):
            host.load()

    def test_nothing_can_be_found_before_a_refresh_or_load(
        self, host: Host, server: SignedRepository
    ) -> None:
        with pytest.raises(StateError, match="neither refreshed nor loaded"):
            host.repository().find("a", server)


def test_two_clients_never_work_on_one_copy_at_once(host: Host, server: SignedRepository) -> None:
    with lock(host.metadata / ".lock", what="another run"), pytest.raises(LockedError):
        host.refresh(server)
    host.refresh(server)


def test_a_disk_that_refuses_leaves_the_copy_as_it_was(
    host: Host, server: SignedRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.refresh(server)
    before = host.everything()
    server.publish("timestamp")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device", str(descriptor))

    monkeypatch.setattr("os.fsync", full)  # a full disk for every user, root included
    with pytest.raises(StateError, match="No space left"):
        host.refresh(server)
    assert host.everything() == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, server: SignedRepository) -> None:
    (tmp_path / "metadata").write_bytes(b"a file where a folder should be")
    with pytest.raises(StateError, match="metadata: "):
        Host(tmp_path).repository().bootstrap(server.first_root)


def test_every_refusal_says_what_stays_in_force() -> None:
    assert all(kind.default_hint for kind in (TrustError, SignatureError, ExpiredError))
    assert issubclass(RollbackError, Error)

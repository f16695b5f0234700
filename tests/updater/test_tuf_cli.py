"""`sigupdate tuf`: the client protocol, group by group of the conformance suite."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from keys.console import exit_code
from keys.trust.tuf_api import CryptoSigner, MetaFile, TargetFile
from tests.clocks import moved
from tests.tuf_cases import (
    GRAPHS,
    PLACES,
    ROTATIONS,
    SIGNING,
    TREE,
    Edge,
    publish_graph,
    publish_roots,
    publish_signed,
)
from tests.tuf_repository import SignedRepository, now
from tests.updater.unruly_server import UnrulyServer
from updater.cli.commands import sigupdate

DAY = timedelta(days=1)
SIGUPDATE = Path(sys.executable).parent / "sigupdate"


class Client:
    """The command line against one served repository."""

    def __init__(self, folder: Path, repository: SignedRepository, server: UnrulyServer) -> None:
        self.repository = repository
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"
        self.root = folder / "root.json"
        self._server = server
        folder.mkdir(exist_ok=True)

    def run(self, *arguments: str, url: bool = True, at: datetime | None = None) -> int:
        self._server.files = {f"/{name}": data for name, data in self.repository.files.items()}
        self._server.asked.clear()
        place = ["tuf", "--metadata-dir", str(self.metadata)]
        if url:
            place += ["--metadata-url", f"{self._server.url}/metadata/"]
        command = [*place, *arguments]
        if at is None:
            return exit_code(sigupdate, program="sigupdate", arguments=command)
        faked = [*moved(f"@{at:%Y-%m-%d %H:%M:%S}"), str(SIGUPDATE), *command]
        return subprocess.run(faked, check=False, env={**os.environ, "TZ": "UTC"}).returncode

    def init(self, root: bytes | None = None) -> int:
        self.root.write_bytes(self.repository.first_root if root is None else root)
        return self.run("init", str(self.root), url=False)

    def refresh(self, *, at: datetime | None = None) -> int:
        return self.run("refresh", at=at)

    def download(self, *names: str, at: datetime | None = None) -> int:
        named = [word for name in names for word in ("--target-name", name)]
        place = ["--target-dir", str(self.targets)]
        return self.run(
            *named, *place, "--target-base-url", f"{self._server.url}/targets/", "download", at=at
        )

    @property
    def asked(self) -> list[str]:
        return [path.removeprefix("/metadata/") for path in self._server.paths]

    def versions(self) -> dict[str, int]:
        return {
            path.stem: json.loads(path.read_bytes())["signed"]["version"]
            for path in self.metadata.glob("*.json")
        }

    def downloaded(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.targets.glob("**/*")) if path.is_file()]


@pytest.fixture
def repository() -> SignedRepository:
    return SignedRepository()


@pytest.fixture
def client(tmp_path: Path, repository: SignedRepository) -> Iterator[Client]:
    with UnrulyServer() as server:
        client = Client(tmp_path / "client", repository, server)
        assert client.init() == 0
        yield client


class TestBasic:
    def test_init_asks_for_nothing_and_trusts_the_root_as_it_is(self, client: Client) -> None:
        assert client.asked == []
        assert client.versions() == {"root": 1}
        assert (client.metadata / "root.json").read_bytes() == client.repository.first_root

    def test_a_refresh_asks_for_four_files_and_a_second_one_for_two(self, client: Client) -> None:
        assert client.refresh() == 0
        assert client.asked == [
            "2.root.json",
            "timestamp.json",
            "1.snapshot.json",
            "1.targets.json",
        ]
        for role in ("root", "timestamp", "snapshot", "targets"):
            kept = (client.metadata / f"{role}.json").read_bytes()
            assert kept == client.repository.newest(role)
        assert client.refresh() == 0
        assert client.asked == ["2.root.json", "timestamp.json"]

    def test_only_metadata_ends_in_json_at_the_top(self, client: Client) -> None:
        client.refresh()
        assert set(client.versions()) == {"root", "timestamp", "snapshot", "targets"}

    def test_a_download_refreshes_first(self, client: Client) -> None:
        assert client.download("missing") == 1
        assert set(client.versions()) == {"root", "timestamp", "snapshot", "targets"}

    @pytest.mark.parametrize("root", [b"", b"{}", b"not a root"])
    def test_a_root_that_is_none_ends_in_no_request(
        self, tmp_path: Path, repository: SignedRepository, root: bytes
    ) -> None:
        with UnrulyServer() as server:
            client = Client(tmp_path / "other", repository, server)
            assert client.init(root) == 1
            assert client.refresh() == 1
            assert client.asked == []

    def test_an_unsigned_root_ends_in_no_request(
        self, tmp_path: Path, repository: SignedRepository
    ) -> None:
        repository.signers["root"] = [CryptoSigner.generate_ed25519()]
        repository.resign("root")
        with UnrulyServer() as server:
            client = Client(tmp_path / "other", repository, server)
            assert client.init() == 1
            assert client.refresh() == 1
            assert client.asked == []

    @pytest.mark.parametrize(
        ("missing", "kept"),
        [
            ("timestamp.json", {"root": 1}),
            ("1.snapshot.json", {"root": 1, "timestamp": 1}),
            ("1.targets.json", {"root": 1, "timestamp": 1, "snapshot": 1}),
        ],
    )
    def test_what_came_before_a_missing_role_is_kept(
        self, client: Client, missing: str, kept: dict[str, int]
    ) -> None:
        del client.repository.files[f"metadata/{missing}"]
        assert client.refresh() == 1
        assert client.asked[-1] == missing
        assert client.versions() == kept

    @pytest.mark.parametrize(
        "arguments",
        [["--bogus"], ["nonsense"], ["refresh", "extra"], ["init"], ["init", "/no/such/file"], []],
        ids=" ".join,
    )
    def test_a_wrong_command_line_ends_with_1_and_never_with_2(
        self, client: Client, arguments: list[str]
    ) -> None:
        assert client.run(*arguments, url=False) == 1

    def test_a_download_without_names_or_places_ends_with_1(self, client: Client) -> None:
        assert client.run("download") == 1
        assert client.run("refresh", url=False) == 1


class TestKeys:
    @pytest.mark.parametrize(("versions", "reached"), ROTATIONS.values(), ids=ROTATIONS)
    def test_roots_are_followed_as_far_as_they_are_signed(
        self,
        tmp_path: Path,
        repository: SignedRepository,
        versions: list[tuple[list[int], int, list[int]]],
        reached: int,
    ) -> None:
        publish_roots(repository, versions)
        with UnrulyServer() as server:
            client = Client(tmp_path / "client", repository, server)
            assert client.init() == 0
            assert client.refresh() == (0 if reached == len(versions) else 1)
            kept = (client.metadata / "root.json").read_bytes()
            assert kept == repository.files[f"metadata/{reached}.root.json"]

    @pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
    @pytest.mark.parametrize(
        ("keys", "threshold", "signing", "accepted"), SIGNING.values(), ids=SIGNING
    )
    def test_a_role_needs_its_threshold(
        self,
        client: Client,
        role: str,
        keys: list[int],
        threshold: int,
        signing: list[int],
        accepted: bool,
    ) -> None:
        publish_signed(client.repository, role, keys, threshold, signing)
        assert client.refresh() == (0 if accepted else 1)
        assert (role in client.versions()) is accepted

    @pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
    def test_each_kind_of_key_signs(self, client: Client, kind: str) -> None:
        generate = getattr(CryptoSigner, f"generate_{kind}")
        for role in ("timestamp", "snapshot", "targets"):
            client.repository.add_key(role, generate())
            client.repository.root.roles[role].threshold = 2
        client.repository.publish("root", "targets", "snapshot", "timestamp")
        assert client.refresh() == 0


class TestDelegations:
    @pytest.mark.parametrize(("edges", "asked"), GRAPHS.values(), ids=GRAPHS)
    def test_a_search_asks_in_order(
        self, client: Client, edges: list[Edge], asked: list[str]
    ) -> None:
        publish_graph(client.repository, edges)
        assert client.download("x") == 1
        assert client.asked[4:] == [f"1.{role}.json" for role in asked]

    @pytest.mark.parametrize(("role", "path", "found"), PLACES)
    def test_a_target_is_downloaded_where_its_role_may_list_it(
        self, client: Client, role: str, path: str, found: bool
    ) -> None:
        publish_graph(client.repository, TREE)
        client.repository.add_target(role, path, b"content")
        client.repository.publish_all()
        assert client.download(path) == (0 if found else 1)
        assert client.downloaded() == ([b"content"] if found else [])

    @pytest.mark.parametrize("role", ["?", "#", "/deep", "../up", "ロール"])
    def test_a_role_of_any_name_is_asked_for_by_its_quoted_name(
        self, client: Client, role: str
    ) -> None:
        client.repository.delegate("targets", role)
        client.repository.publish_all()
        assert client.download("x") == 1
        assert f"1.{quote(role, safe='')}.json" in client.asked
        assert len(client.versions()) == 5


class TestDownload:
    def test_several_targets_come_in_order_and_the_first_failure_ends_it(
        self, client: Client
    ) -> None:
        for name in ("a", "deep/down/b", "c"):
            client.repository.add_target("targets", name, name.encode())
        client.repository.publish_all()
        assert client.download("a", "deep/down/b", "missing", "c") == 1
        assert sorted(client.downloaded()) == [b"a", b"deep/down/b"]

    def test_a_target_that_is_in_place_is_not_asked_for_again(self, client: Client) -> None:
        client.repository.add_target("targets", "a", b"a")
        client.repository.publish_all()
        assert client.download("a") == 0
        assert client.download("a") == 0
        assert not any("targets/" in path for path in client.asked)

    def test_a_target_damaged_in_its_place_is_fetched_again(self, client: Client) -> None:
        client.repository.add_target("targets", "a", b"a")
        client.repository.publish_all()
        client.download("a")
        (client.targets / "a").unlink()
        (client.targets / "a").write_bytes(b"b")
        assert client.download("a") == 0
        assert client.downloaded() == [b"a"]

    def test_new_content_takes_the_place_of_the_old(self, client: Client) -> None:
        for number in range(4):
            client.repository.add_target("targets", "a", f"content {number}".encode())
            client.repository.publish_all()
            assert client.download("a") == 0
            assert client.downloaded() == [f"content {number}".encode()]

    @pytest.mark.parametrize("change", [b"other", b"a longer content", b""])
    def test_content_nobody_signed_is_never_stored(self, client: Client, change: bytes) -> None:
        client.repository.add_target("targets", "a", b"valid")
        client.repository.add_target("targets", "b", b"valid")
        client.repository.publish_all()
        assert client.download("a") == 0
        for name in [name for name in client.repository.files if name.startswith("targets/")]:
            client.repository.files[name] = change
        assert client.download("b") == 1
        assert client.download("a") == 0
        assert client.downloaded() == [b"valid"]

    @pytest.mark.parametrize(
        ("kinds", "code"),
        [(["sha256"], 0), (["sha512"], 0), (["sha512", "sha256"], 0), (["unknown"], 1)],
        ids=str,
    )
    def test_other_digests_than_sha256_are_checked_when_they_are_all_there_is(
        self, client: Client, kinds: list[str], code: int
    ) -> None:
        data = b"content"
        digests = {
            kind: hashlib.new("sha256" if kind == "unknown" else kind, data).hexdigest()
            for kind in kinds
        }
        client.repository.targets().targets["a"] = TargetFile(len(data), digests, "a")
        for digest in digests.values():
            client.repository.files[f"targets/{digest}.a"] = data
        client.repository.publish_all()
        assert client.download("a") == code
        assert client.downloaded() == ([] if code else [data])
        assert client.download("a") == code
        assert any("targets/" in path for path in client.asked) is bool(code)

    def test_without_consistent_snapshots_targets_have_plain_names(self, tmp_path: Path) -> None:
        repository = SignedRepository(consistent=False)
        repository.add_target("targets", "deep/a", b"a")
        repository.publish_all()
        with UnrulyServer() as server:
            client = Client(tmp_path / "client", repository, server)
            assert client.init() == 0
            assert client.download("deep/a") == 0
            assert client.asked[-1] == "/targets/deep/a"

    @pytest.mark.parametrize("name", ["a b", "ü", "[x]", "@", "x" * 250, "..", ".hidden", "a//b"])
    def test_a_target_of_any_name_is_one_file(self, client: Client, name: str) -> None:
        client.repository.add_target("targets", name, b"content")
        client.repository.publish_all()
        client.download(name)
        assert all(path.parent == client.targets for path in client.targets.glob("**/*"))
        assert {path.name for path in client.root.parent.iterdir()} <= {
            "metadata",
            "targets",
            "root.json",
        }


class TestRollback:
    @pytest.mark.parametrize("hashes", [False, True], ids=["plain", "with hashes"])
    @pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
    def test_an_older_role_is_refused(self, client: Client, role: str, hashes: bool) -> None:
        client.repository.list_hashes = hashes
        client.repository.publish("targets", "snapshot", "timestamp")
        assert client.refresh() == 0
        before = client.versions()[role]
        client.repository.roles[role].signed.version = 1
        client.repository.resign(role)
        if role == "targets":
            client.repository.publish("snapshot", "timestamp")
        if role == "snapshot":
            client.repository.publish("timestamp")
        assert client.refresh() == 1
        assert client.versions()[role] == before

    def test_an_equal_timestamp_changes_nothing(self, client: Client) -> None:
        client.refresh()
        client.repository.timestamp.snapshot_meta = MetaFile(100)
        client.repository.resign("timestamp")
        assert client.refresh() == 0
        assert client.asked == ["2.root.json", "timestamp.json"]

    @pytest.mark.parametrize("role", ["timestamp", "snapshot"])
    def test_new_keys_end_a_version_run_high(self, client: Client, role: str) -> None:
        client.repository.roles[role].signed.version = 99_999
        client.repository.resign(role)
        client.repository.publish("timestamp")
        assert client.refresh() == 0
        client.repository.rotate("timestamp")
        client.repository.rotate("snapshot")
        client.repository.snapshot.version = client.repository.timestamp.version = 1
        client.repository.publish("root", "snapshot", "timestamp")
        assert client.refresh() == 0
        assert client.versions()[role] == 2


class TestExpiration:
    @pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
    def test_an_expired_role_is_refused(self, client: Client, role: str) -> None:
        client.refresh()
        client.repository.roles[role].signed.expires = now() - DAY
        client.repository.publish("root", "targets", "snapshot", "timestamp")
        assert client.refresh() == 1
        assert client.versions()[role] == (2 if role == "root" else 1)

    def test_the_time_comes_from_the_c_library(self, client: Client) -> None:
        assert client.refresh(at=now() + 29 * DAY) == 0
        assert client.refresh(at=now() + 31 * DAY) == 1

    def test_an_expired_copy_is_brought_up_to_date(self, client: Client) -> None:
        repository = client.repository
        repository.timestamp.expires = now() + 7 * DAY
        repository.publish("timestamp")
        assert client.refresh() == 0
        repository.timestamp.expires = now() + 21 * DAY
        repository.publish("targets", "snapshot", "timestamp")
        assert client.refresh(at=now() + 18 * DAY) == 0
        assert client.versions()["targets"] == 2

    def test_a_delegated_role_that_expired_is_not_used_until_renewed(self, client: Client) -> None:
        repository = client.repository
        repository.delegate("targets", "team", ["team/*"])
        repository.targets("team").expires = now() + 7 * DAY
        for name in ("team/a", "team/b"):
            repository.add_target("team", name, name.encode())
        repository.publish_all()
        assert client.download("team/a") == 0
        assert client.download("team/b", at=now() + 18 * DAY) == 1
        repository.targets("team").expires = now() + 21 * DAY
        repository.publish("team", "snapshot", "timestamp")
        assert client.download("team/b", at=now() + 18 * DAY) == 0


def test_the_installed_command_ends_with_0_or_1(tmp_path: Path) -> None:
    repository = SignedRepository()
    (tmp_path / "root.json").write_bytes(repository.first_root)
    place = [str(SIGUPDATE), "tuf", "--metadata-dir", str(tmp_path / "m")]
    good = subprocess.run([*place, "init", str(tmp_path / "root.json")], check=False)
    bad = subprocess.run([*place, "refresh"], check=False, capture_output=True, text=True)
    assert (good.returncode, bad.returncode) == (0, 1)
    assert bad.stderr.startswith("error: ")


@pytest.mark.slow
@pytest.mark.timeout(1200)  # 106 s alone on two cores; nine minutes were seen beside other builds
def test_the_conformance_suite_passes_with_no_expected_failure(tmp_path: Path) -> None:
    suite = importlib.util.find_spec("tuf_conformance")
    if suite is None or suite.origin is None:
        pytest.skip(
            "tuf-conformance is not installed: git clone "
            "https://github.com/theupdateframework/tuf-conformance && pip install ./tuf-conformance"
        )
    entrypoint = tmp_path / "client"
    entrypoint.write_text(f'#!/bin/sh\nexec "{SIGUPDATE}" tuf "$@"\n')
    entrypoint.chmod(0o755)
    folder = Path(suite.origin).parent
    command = [sys.executable, "-m", "pytest", "-q", folder.name, "--entrypoint", str(entrypoint)]
    ran = subprocess.run(
        command, check=False, cwd=folder.parent, capture_output=True, text=True, timeout=1140
    )
    assert ran.returncode == 0, ran.stdout[-4000:]

"""A site grows out of its machine: into a bucket by a handover, into a public one by a copy."""

import json
import shutil
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from tests.fleet import Fleet, Host, run
from tests.mirror.object_stores import BUCKET, KEY, SECRET, ObjectStore
from tests.mirror.serving import Process, wait_for

pytestmark = pytest.mark.slow

# A scanner made of shell: it finds what the rules in force name, markers included.
ENGINE = """\
marker_template = "find: {name} {text}"
marker_file = "{name}.rule"
prove_command = ["sh", "-c", '''text=$(cat)
for f in $(find -L "$0" -name "*.rule"); do
  read -r _ name rule < "$f"
  case "$text" in *"$rule"*) echo "$name"; exit 1;; esac
done''', "{folder}"]
"""


class Site:
    """A mirror in a folder, and the settings of one whose repository lies in a bucket."""

    def __init__(self, fleet: Fleet, server: ObjectStore, profile: str = "") -> None:
        self.fleet = fleet
        self.server = server
        self.prefix = uuid.uuid4().hex
        self.new = fleet.folder / f"new{profile}.toml"
        old, new = f"file://{fleet.folder}/mirror", f"s3://{BUCKET}/{self.prefix}"
        text = fleet.config.read_text().replace(
            f'[store]\nurl = "{old}"\n',
            f'{server.lines(new, fleet.folder / "new")}profile = "{profile}"\n',
        )
        self.new.write_text(text)

    def bring_state(self) -> None:
        """Do what the command tells to do next."""
        for name in ("keys", "state"):
            shutil.copytree(
                self.fleet.folder / "mirror" / name, self.fleet.folder / "new" / name,
                dirs_exist_ok=True,
            )  # fmt: skip


def copies(*words: object, code: int = 0) -> str:
    done = run("sigmirror", "copy", *words)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def updates(host: Host) -> int:
    """Let a host update; every run ends proven. Return the version it has come to trust."""
    told = host.sigupdate("run")
    assert ", proven" in told, told
    trusted = next(host.folder.glob("state/trust/site/metadata/timestamp.json"))
    return int(json.loads(trusted.read_bytes())["signed"]["version"])


def rules(host: Host) -> str:
    return next(host.folder.glob("state/**/current/**/rules.txt")).read_text()


def test_three_hosts_stay_proven_while_their_mirror_moves_into_a_bucket(
    tmp_path: Path, radosgw: ObjectStore
) -> None:
    fleet = Fleet(tmp_path)
    fleet.found()
    site = Site(fleet, radosgw)
    fleet.publish("rule one")
    with Process.started(fleet.config, tmp_path / "old.log") as old:
        fleet.url = f"http://{old.address}"
        hosts = [fleet.host(f"mx{number}", engine=ENGINE) for number in range(3)]
        before = [updates(host) for host in hosts]
        copies(fleet.config, site.new, "--handover", "--reason", "grown out of it")
        site.bring_state()
        assert "handed over to s3://" in fleet.sigmirror("status")
        changing = (["publish", "inhouse", tmp_path / "release"], ["pull"], ["gc"])
        for words in (*changing, ["host", "add", "late"]):
            assert "handed over to s3://" in fleet.sigmirror(*words, code=2, errors=True)
        assert [updates(host) for host in hosts] == [version + 1 for version in before]
        assert fleet.post("v1/enrol", "mx9:token", b"{}") == 404
        wait_for(lambda: old.told("handed-over"), "the log")
        with Process.started(site.new, tmp_path / "new.log") as new:
            moved = Fleet(tmp_path, url=f"http://{new.address}")
            for host in hosts:
                host.fleet = moved
                host.write(engine=ENGINE)
            last = _served(moved)
            (tmp_path / "release/rules.txt").write_text("rule two")
            fleet.sigmirror_at(site.new, "publish", "inhouse", tmp_path / "release")
            wait_for(lambda: _served(moved) > last, "the release")
            after = [updates(host) for host in hosts]
            assert min(after) > max(before) + 1
            assert {rules(host) for host in hosts} == {"rule two"}
            told = json.loads(fleet.sigmirror_at(site.new, "hosts", "--json"))["hosts"]
            assert sorted({one["host"] for one in told}) == ["mx0", "mx1", "mx2"]
            assert not new.events("handed-over")
            fleet.sigmirror_at(site.new, "verify-log")


def _served(fleet: Fleet) -> int:
    with urllib.request.urlopen(f"{fleet.url}/readyz", timeout=30) as answer:  # noqa: S310 - loopback
        return int(json.loads(answer.read())["timestamp"])


def test_a_repository_moves_from_bucket_to_bucket_of_another_store_and_back(
    tmp_path: Path, radosgw: ObjectStore, rclone: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(tmp_path)
    fleet.found()
    fleet.publish("rule one")
    keys = f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    (tmp_path / "credentials").write_text(f"[ceph]\n{keys}[rclone]\n{keys}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-neither")
    one, other = Site(fleet, radosgw, "ceph"), Site(fleet, rclone, "rclone")
    nobody = Site(fleet, radosgw, "nobody").new
    assert "store.profile" in copies(fleet.config, nobody, "--handover", code=1)
    copies(fleet.config, one.new, "--handover")
    one.bring_state()
    there = copies(one.new, other.new, "--handover")
    assert f"handed over to s3://{BUCKET}/{other.prefix} at {rclone.endpoint}" in there
    (fleet.folder / "release/rules.txt").write_text("rule two")
    fleet.sigmirror_at(other.new, "publish", "inhouse", fleet.folder / "release")
    copies(other.new, one.new, "--handover")
    told = json.loads(copies(one.new, tmp_path / "backup", "--json"))
    assert told["repositories"][0]["timestamp"] == 6  # founded, released, handed over, released…
    files = (tmp_path / "backup/r/site/targets/inhouse/files").glob("*.rules.txt")
    assert "rule two" in {file.read_text() for file in files}


def _is_there(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30):  # noqa: S310 - loopback
            return True
    except urllib.error.HTTPError:
        return False


def test_a_public_bucket_serves_hosts_without_a_mirror_and_takes_no_licensed_channel(
    tmp_path: Path, radosgw: ObjectStore
) -> None:
    fleet, prefix = Fleet(tmp_path), uuid.uuid4().hex
    fleet.found()
    fleet.publish("rule one")
    bucket = [f"s3://{BUCKET}/{prefix}", "--endpoint", radosgw.endpoint, "--region", "us-east-1"]
    assert "site: timestamp version 2" in copies("--public", fleet.config, *bucket)
    fleet.url = radosgw.publish(prefix)
    host = Host(fleet, "mx")
    host.folder.mkdir()
    host.write(engine=ENGINE)
    settings = host.folder / "sigupdate.toml"
    lines = settings.read_text().splitlines(keepends=True)
    settings.write_text("".join(line for line in lines if not line.startswith("credential_file")))
    updates(host)
    assert rules(host) == "rule one"
    bucket_url, fleet.url = fleet.url, ""
    fleet.sigmirror("publish", "paid", tmp_path / "release", "--redistribution", "licensed-hosts")
    refused = copies("--public", fleet.config, *bucket, code=2)
    assert "repository site: not for everybody: paid" in refused
    assert "--leave-out paid" in refused
    fleet.publish("rule two")
    told = copies("--public", "--leave-out", "paid", fleet.config, *bucket)
    assert "note: everybody can read there names, sizes and digests of the files of paid" in told
    updates(host)
    assert rules(host) == "rule two"
    mirror = fleet.folder / "mirror"
    for channel, there in (("paid", {False}), ("inhouse", {True})):
        files = mirror.glob(f"r/site/targets/{channel}/files/*.*")
        assert {_is_there(f"{bucket_url}/{file.relative_to(mirror)}") for file in files} == there
    public = tmp_path / "public.toml"
    public.write_text(radosgw.lines(f"s3://{BUCKET}/{prefix}", tmp_path / "elsewhere"))
    assert "0 objects" in fleet.sigmirror_at(public, "gc", "--dry-run")
    assert "no channel" in copies("--public", "--leave-out", "x", fleet.config, *bucket, code=2)
    assert "only with --public" in copies("--leave-out", "x", fleet.config, *bucket, code=2)
    assert "backup" not in copies(fleet.config, tmp_path / "backup", "--json")

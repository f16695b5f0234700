import asyncio
import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from keys.credentials import Credential, Secret
from mirror.intake import Label
from tests.mirror.operator import Operator, now
from tests.mirror.site import BY, Mirror, candidate
from tests.mirror.vendor import Vendor, root_of, serving


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys)


def test_pull_publishes_a_drop_folder(operator: Operator) -> None:
    (operator.drop / "a.yar").write_bytes(b"rule a")
    code, out, _ = operator.types("pull")
    assert code == 0
    assert out.startswith("inhouse: published; ")
    assert operator.client.contents("inhouse", now=now()) == {"a.yar": b"rule a"}
    assert operator.asks("pull") == {
        "changed": False,
        "pulls": [
            {
                "upstream": "inhouse", "outcome": "unchanged", "detail": "", "track": "",
                "exit_code": 0, "sequence": 0, "new_bytes": 0, "requests": 0, "received_bytes": 0,
                "note": "",
                "release": operator.asks("pull")["pulls"][0]["release"],
            }
        ],
    }  # fmt: skip


def test_a_pull_of_a_channel_that_is_held_says_that_no_track_moved(operator: Operator) -> None:
    out = ""
    for content in (b"rule a", b"rule a, and more"):
        (operator.drop / "a.yar").write_bytes(content)
        code, out, _ = operator.types("pull")
        assert code == 0
        operator.types("hold", "channel", "inhouse", "--reason", "a look at it")
    assert "; to no track, " in out


def test_an_unknown_upstream_is_a_usage_error(operator: Operator) -> None:
    code, _, err = operator.types("pull", "nobody")
    assert code == 2
    assert "error: upstream 'nobody': not in the settings" in err
    assert "hint: configured: inhouse" in err


def test_one_failing_upstream_does_not_stop_the_others(operator: Operator, tmp_path: Path) -> None:
    (operator.drop / "a.yar").write_bytes(b"rule a")
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "link").symlink_to("/etc/passwd")
    operator.write(
        '[[upstream]]\nname = "evil"\nkind = "drop"\nchannel = "evil"\n'
        f'folder = "{evil}"\nquiet_seconds = 0.01\n'
    )
    code, out, err = operator.types("pull")
    assert code == 3
    assert "inhouse: published" in out
    assert "error: file 'link': is a symbolic link" in err
    found = operator.asks("status")
    assert [one["state"] for one in found["upstreams"]] == ["ok", "failed"]
    assert any("symbolic link" in problem for problem in found["problems"])


def test_an_ended_licence_stops_a_pull_with_exit_code_4(operator: Operator) -> None:
    (operator.drop / "a.yar").write_bytes(b"rule a")
    operator.write(
        'licence = "old"\n[[licence]]\nname = "old"\nfile = "/nowhere/old.lic"\n'
        'starts_on = "2020-01-01"\nends_on = "2021-01-01"\ntz = "Asia/Tokyo"\n'
    )
    code, _, err = operator.types("pull", "inhouse")
    assert code == 4
    assert "licence old: lapsed, it ends on 2021-01-01 (Asia/Tokyo)" in err
    assert operator.asks("status")["repositories"][0]["channels"] == []


def test_publish_and_point_by_hand(operator: Operator, tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / f"r{number}"
        folder.mkdir()
        (folder / "a").write_bytes(b"%d" % number)
        assert operator.asks("publish", "byhand", str(folder))["sequence"] == number
    assert operator.client.contents("byhand", now=now()) == {"a": b"2"}
    code, out, _ = operator.types("point", "byhand", "stable", "1", "--reason", "false positives")
    assert code == 0
    assert "stable is release 1" in out
    assert operator.client.contents("byhand", now=now()) == {"a": b"1"}
    log = [json.loads(line) for line in operator.mirror.journal.read_text().splitlines()]
    assert log[-1]["why"] == "false positives"
    assert "(sigmirror point byhand)" in log[-1]["who"]
    assert list((operator.mirror.folder / "quarantine").iterdir()) == []


def test_status_tells_roles_channels_and_releases(operator: Operator) -> None:
    (operator.drop / "a.yar").write_bytes(b"rule a")
    operator.types("pull")
    found = operator.asks("status")
    site = found["repositories"][0]
    assert {"root", "targets", "snapshot", "timestamp", "channels"} <= {
        role["name"] for role in site["roles"]
    }
    assert site["channels"][0]["tracks"] == {"stable": 1}
    assert site["channels"][0]["releases"][0]["assurance"] == "none"
    assert found["problems"] == []
    code, out, _ = operator.types("status")
    assert code == 0
    assert "channel inhouse: stable -> 1" in out
    assert "no open problems" in out


def test_pull_repairs_an_expired_repository(tmp_path: Path, operator: Operator) -> None:
    shutil.rmtree(operator.mirror.folder)
    operator.mirror = Mirror.found(tmp_path / "mirror", now=now() - timedelta(days=60))
    assert any("expired" in problem for problem in operator.asks("status")["problems"])
    (operator.drop / "a").write_bytes(b"x")
    operator.types("pull")
    assert operator.asks("status")["problems"] == []
    assert operator.client.contents("inhouse", now=now()) == {"a": b"x"}


def test_hosts_learn_the_licence_dates_unless_access_is_open(operator: Operator) -> None:
    operator.write(
        '[[licence]]\nname = "av"\nfile = "/nowhere/av.lic"\n'
        'starts_on = "2026-01-01"\nends_on = "2030-03-31"\ntz = "Asia/Tokyo"\n'
        '[serve]\naccess = "hosts"\n'
    )
    operator.types("pull")
    told = operator.client.channels(now=now()).licence_status()
    assert told is not None
    assert [(end.name, end.ends_on, end.tz) for end in told.licences] == [
        ("av", "2030-03-31", "Asia/Tokyo")
    ]


def test_status_of_a_mirror_without_a_repository_names_the_problem(operator: Operator) -> None:
    shutil.rmtree(operator.mirror.folder / "r")
    problem = operator.asks("status")["problems"][0]
    assert problem == "repository site: there is no repository site in this store"


def test_probe_writes_nothing(operator: Operator, tmp_path: Path) -> None:
    (operator.drop / "a.yar").write_bytes(b"rule a")

    def everything() -> set[Path]:
        return set(operator.mirror.folder.rglob("*"))

    before = everything()
    met = operator.asks("probe", "inhouse", "--transcript", str(tmp_path / "transcript"))
    assert everything() == before
    assert (met["status"], met["bytes"], met["assurance"]) == ("1 files", 6, "none")
    assert met["next_allowed_pull"] == "now"
    assert (tmp_path / "transcript").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "not TOML"),
        ("[store]\nurl = 5\n", "store.url"),
        ("[[upstream]]\nname = 'x'\nkind = 'ftp'\n", "upstream[0].kind"),
        ("[serve]\nport = 1\n", "port"),
    ],
)
def test_malformed_settings_are_named(operator: Operator, text: str, message: str) -> None:
    operator.config.write_text(text)
    code, _, err = operator.types("status")
    assert code == 2
    assert message in err


def test_a_wrong_passphrase_is_named_and_nothing_is_published(operator: Operator) -> None:
    (operator.drop / "a.yar").write_bytes(b"rule a")
    (operator.config.parent / "passphrase").write_text("not the passphrase")
    code, _, err = operator.types("pull")
    assert code == 2
    assert "wrong passphrase" in err
    assert "not the passphrase" not in err
    assert operator.asks("status")["repositories"][0]["channels"] == []


def test_the_console_script_runs_from_the_environment(operator: Operator) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("sigmirror"), "status", "--json"],
        env={**os.environ, "SIGMIRROR_CONFIG": str(operator.config)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["problems"] == []


async def test_a_vendor_is_probed_and_pulled_over_http(operator: Operator, tmp_path: Path) -> None:
    """Settings to served bytes: password file, wrong password, transcript, pull, status."""
    credential = Credential("EAV-0123456", Secret("correct-horse"))
    vendor = Vendor(Mirror.found(tmp_path / "vendor", now=now()), credential.basic())
    await vendor.mirror.publishing().release(
        candidate(tmp_path / "in", {"a.yar": b"rule a"}),
        channel="engine", track="stable", label=Label("yara"), by=BY, now=now(),
    )  # fmt: skip
    secret, transcript = tmp_path / "password", tmp_path / "transcript"
    async with serving(vendor):
        operator.write(
            f'[[upstream]]\nname = "av"\nkind = "tuf"\nurl = "{vendor.url}"\nlicence = "av-2026"\n'
            f'root = "{root_of(vendor.mirror, tmp_path)}"\n'
            '[[licence]]\nname = "av-2026"\nfile = "/nowhere/av.lic"\nusername = "EAV-0123456"\n'
            f'password_file = "{secret}"\nstarts_on = "2026-01-01"\nends_on = "2030-12-31"\n'
        )
        secret.write_text("wrong-horse\n")
        code, _, err = await asyncio.to_thread(
            operator.types, "probe", "av", "--transcript", str(transcript)
        )
        assert code == 4
        code, _, err = await asyncio.to_thread(operator.types, "pull", "av")
        assert code == 4
        assert "401" in err
        stopped = (await asyncio.to_thread(operator.asks, "status"))["upstreams"][1]
        assert (stopped["name"], stopped["state"]) == ("av", "stopped")
        code, out, _ = await asyncio.to_thread(operator.types, "pull")
        assert (code, "av: stopped" in out) == (4, True)
        listed = await asyncio.to_thread(operator.asks, "licence", "list")
        assert [(one["name"], one["state"]) for one in listed] == [("av-2026", "suspended")]
        secret.write_text("correct-horse\n")
        before = set(operator.mirror.folder.rglob("*"))
        met = await asyncio.to_thread(operator.asks, "probe", "av")
        assert set(operator.mirror.folder.rglob("*")) == before
        assert (met["address"], met["status"], met["assurance"]) == (vendor.url, "200", "signed")
        code, out, _ = await asyncio.to_thread(operator.types, "pull", "av")
        assert code == 0
        assert "av: published; engine 1; to stable" in out
        listed = await asyncio.to_thread(operator.asks, "licence", "list")
        assert [one["state"] for one in listed] == ["active"]
    told = transcript.read_text()
    assert "< 401" in told
    assert (
        "horse" not in told + err + (operator.mirror.folder / "state/upstreams/av.json").read_text()
    )
    client = operator.mirror.client(tmp_path / "vendor-client", repository="av")
    assert client.contents("engine", now=now()) == {"a.yar": b"rule a"}
    found = await asyncio.to_thread(operator.asks, "status")
    assert [one["name"] for one in found["repositories"]] == ["site", "av"]
    assert found["repositories"][1]["channels"][0]["tracks"] == {"stable": 1}


def test_gc_tells_what_it_would_remove(operator: Operator) -> None:
    code, out, _ = operator.types("gc", "--dry-run")
    assert code == 0
    assert out.startswith("site: would remove 0 objects, 0 bytes; ")


def test_gc_removes_what_a_killed_publish_left_in_quarantine_a_day_ago(operator: Operator) -> None:
    quarantine = operator.mirror.folder / "quarantine"
    old, new = quarantine / ".tmp-old", quarantine / ".tmp-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "a.yar").write_bytes(b"rule a")
    yesterday = (now() - timedelta(hours=25)).timestamp()
    os.utime(old, (yesterday, yesterday))
    told = operator.types("gc", "--dry-run")[1]
    assert "quarantine: would remove 1 objects, 6 bytes; 1 kept" in told
    assert old.exists()
    assert operator.types("gc")[0] == 0
    assert [path.name for path in quarantine.iterdir()] == [".tmp-new"]

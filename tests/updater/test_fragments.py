"""Settings that a site signs: taken on probation, set aside where a run breaks, told by name."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from keys.errors import SettingsError
from keys.model.fragment import MAX_FRAGMENT_BYTES
from tests.tuf_repository import ChannelRepository
from tests.updater.site import Site, served
from updater import runs
from updater.cli.config import check_config
from updater.cli.host import Host
from updater.cli.inspect import check
from updater.fragments import MAX_ATTEMPTS, FragmentFile, Known
from updater.report import RunReport

TARGET = "policy/settings.json"


class OwnHost:
    """A host with one engine that takes anything, run in this process."""

    def __init__(self, folder: Path, site: Site, more: str = "") -> None:
        self.folder, self.site, self.notes = folder, site, list[str]()
        self.config = folder / "sigupdate.toml"
        (folder / "root.json").write_bytes(site.repository.first_root)
        self.write(more)

    def write(self, more: str = "", probe: str = '["true"]') -> None:
        self.config.write_text(
            f'mirrors = ["{self.site.url}"]\nstate = "{self.folder}/state"\n{more}\n'
            f'[[repository]]\nname = "site"\nroot = "{self.folder}/root.json"\n'
            '[[engine]]\nname = "scan"\nkind = "command"\nchannels = ["a"]\n'
            'test_command = ["true"]\nreload_command = ["true"]\n'
            f"reload_timeout_seconds = 1\nprobe_command = {probe}\n"
        )

    def load(self, *, trying: bool = True) -> Host:
        return Host.load(self.config, trying=trying)

    def run(self) -> RunReport:
        opened = runs.run(lambda: self.load().update(at=datetime.now(UTC)), self.notes.append)
        return opened.report

    @property
    def known(self) -> Known:
        return FragmentFile(self.folder / "state/fragment.json").load()

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Return which fragment is in force, tried and refused; 0 for none."""
        told = self.known.told()
        return (told.sequence, told.trying, told.refused) if told else (0, 0, 0)

    def origins(self) -> dict[str, tuple[Any, str]]:
        done = CliRunner().invoke(check_config, ["--config", str(self.config), "--json"])
        told = json.loads(done.output)
        return {row["key"]: (row["value"], row["from"]) for row in told["values"]}


@pytest.fixture
def site() -> Iterator[Site]:
    with served(ChannelRepository("a")) as serving:
        serving.repository.release("a", {"rules.txt": b"one"}, sequence=1)
        yield serving


@pytest.fixture
def host(tmp_path: Path, site: Site) -> OwnHost:
    return OwnHost(tmp_path, site)


def publish(site: Site, sequence: int, **sections: Any) -> None:
    told = {"format": 1, "sequence": sequence, "published": "2026-01-01T00:00:00Z", **sections}
    publish_bytes(site, json.dumps(told).encode())


def publish_bytes(site: Site, data: bytes) -> None:
    site.repository.add_target("policy", TARGET, data)
    site.repository.publish("policy", "snapshot", "timestamp")


def test_a_fragment_is_tried_at_once_and_then_costs_no_request(host: OwnHost, site: Site) -> None:
    host.run()
    publish(site, 1, all={"limits.max_attempts": 7, "engine.*.keep_generations": 5})
    assert host.run().exit_code == 0
    assert host.numbers == (1, 0, 0)
    site.requests.clear()
    assert host.run().requests == 2
    assert host.load().settings.limits.max_attempts == 7
    assert host.origins()["limits.max_attempts"] == (7, "fragment 1")
    assert host.origins()["engine[0].keep_generations"] == (5, "fragment 1")
    assert host.origins()["engine[0].reload_timeout_seconds"] == (1, "file")
    assert host.origins()["interval_seconds"] == (900, "default")


def test_the_hosts_own_file_goes_before_its_site(host: OwnHost, site: Site) -> None:
    publish(site, 1, all={"engine.*.reload_timeout_seconds": 9, "interval_seconds": 60})
    host.run()
    assert host.load().settings.engine[0].reload_timeout_seconds == 1
    assert host.known.left_out == ("engine.*.reload_timeout_seconds: this host's own file sets it",)
    assert host.load().settings.interval_seconds == 60


@pytest.mark.parametrize(
    ("allow", "taken"),
    [
        ('["safe"]', {"jitter_seconds"}),
        ('["engine.*.must_pass"]', {"engine.scan.must_pass"}),
        ("[]", set()),
    ],
    ids=["safe", "one by name", "none"],
)
def test_a_stolen_site_key_sets_only_what_the_host_allows(
    host: OwnHost, site: Site, allow: str, taken: set[str]
) -> None:
    host.write(f"[remote_settings]\nallow = {allow}")
    signed = {
        "ca_file": "/evil.pem",
        "engine.*.prove_command": ["rm", "-rf", "/"],
        "engine.scan.must_pass": "",
        "jitter_seconds": 1,
    }
    publish(site, 1, all=signed)
    host.run()
    assert {reason.partition(":")[0] for reason in host.known.left_out} == signed.keys() - taken
    assert host.load().settings.ca_file == ""
    assert host.load().settings.engine[0].prove_command == ()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("{", TARGET),
        ('"format":2', "format"),
        ('"run":"id"', "run"),
        ('"all":{"x":{}}', "all"),
        ('"hosts":{"../x":{}}', "hosts"),
        ('"all":{"user":"root"}', "user"),
        ('"all":{"interval_seconds":"never"}', "interval_seconds"),
        ('"all":{"interval_seconds":99999999}', "interval_seconds"),
        ('"all":{"engine.*.track":"../up"}', "track"),
    ],
    ids=["cut", "format", "field", "value", "name", "key", "type", "endless interval", "track"],
)
def test_a_hostile_fragment_is_refused_by_name_and_the_last_good_one_stays(
    host: OwnHost, site: Site, more: str, named: str
) -> None:
    publish(site, 2, all={"limits.max_attempts": 7})
    host.run()
    known = "" if "format" in more else '"format":1,'
    start = f'{{{known}"sequence":3,"published":"2026-01-01T00:00:00Z",'
    publish_bytes(site, f"{start}{more}}}".encode())
    assert host.run().exit_code == 0
    assert host.known.refused
    assert named in host.known.refused.cause
    assert [named in note for note in host.notes] == [True]
    assert host.load().settings.limits.max_attempts == 7
    assert host.run().requests == 2
    assert len(host.notes) == 1


def test_a_fragment_larger_than_hosts_read_is_refused_and_costs_nothing_more(
    host: OwnHost, site: Site
) -> None:
    publish(site, 1, all={"limits.max_attempts": 7})
    host.run()
    publish(site, 2, all={"ca_file": "x" * MAX_FRAGMENT_BYTES})
    assert host.run().exit_code == 0
    assert host.known.refused
    assert str(MAX_FRAGMENT_BYTES) in host.known.refused.cause
    assert host.load().settings.limits.max_attempts == 7
    assert (host.run().requests, len(host.notes)) == (2, 1)


def test_a_fragment_that_breaks_a_run_is_set_aside_and_the_run_is_repeated_without(
    host: OwnHost, site: Site
) -> None:
    host.write('[remote_settings]\nallow = ["safe", "engine.*.overlay"]')
    publish(site, 1, all={"jitter_seconds": 2})
    assert host.run().exit_code == 0
    publish(site, 2, all={"engine.*.overlay": "/nonexistent"})
    report = host.run()
    assert (report.exit_code, report.engines[0].proof.value) == (0, "probed")
    assert host.numbers == (1, 0, 2)
    assert host.known.refused
    assert "/nonexistent" in host.known.refused.cause
    assert host.run().requests == 2
    publish(site, 3, all={"jitter_seconds": 1})
    assert host.run().exit_code == 0
    assert host.numbers == (3, 0, 0)


def test_a_fragment_is_not_blamed_for_an_engine_that_is_down_anyway(
    host: OwnHost, site: Site
) -> None:
    up = host.folder / "up"
    up.touch()
    host.write(probe=f'["test", "-e", "{up}"]')
    host.run()
    up.unlink()
    publish(site, 1, all={"limits.max_attempts": 7})
    assert host.run().exit_code == 6
    assert host.numbers == (0, 1, 0)
    up.touch()
    assert host.run().exit_code == 0
    assert host.numbers == (1, 0, 0)


def test_a_fragment_whose_runs_never_end_is_set_aside(host: OwnHost, site: Site) -> None:
    """A process killed in the middle of its run leaves the count of attempts."""
    host.run()
    publish(site, 1, all={"limits.max_attempts": 7})
    first = host.load().update(at=datetime.now(UTC))
    first.run()
    for _ in range(MAX_ATTEMPTS):
        loaded = host.load()
        assert loaded.settings.limits.max_attempts == 7
        loaded.update(at=datetime.now(UTC))._probation.begin(datetime.now(UTC))  # then kill -9
    assert host.run().exit_code == 0
    assert host.known.refused
    assert "did not come to their end" in host.known.refused.cause
    assert host.load().settings.limits.max_attempts == 3


def test_a_fragment_of_another_repository_than_the_site_is_never_read(
    tmp_path: Path, site: Site
) -> None:
    publish(site, 1, all={"limits.max_attempts": 7})
    host = OwnHost(tmp_path, site)
    site.override = lambda path: (
        site.answer(path.replace("/r/vendor/", "/r/site/")) if "/r/vendor/" in path else None
    )
    host.config.write_text(host.config.read_text().replace('"site"', '"vendor"'))
    assert host.run().exit_code == 0
    assert host.load().settings.limits.max_attempts == 3


def test_sections_go_from_all_to_one_host_and_from_every_engine_to_one(
    tmp_path: Path, site: Site
) -> None:
    (tmp_path / "cred").write_text("web:" + "0" * 64)
    (tmp_path / "cred").chmod(0o600)
    host = OwnHost(
        tmp_path, site, f'credential_file = "{tmp_path}/cred"\n[report]\nenabled = false'
    )
    publish(
        site, 1,
        all={"engine.scan.keep_generations": 4, "engine.*.scan_timeout_seconds": 8,
             "engine.scan.scan_timeout_seconds": 9, "engine.other.track": "canary"},
        hosts={"web": {"engine.*.keep_generations": 6}, "mx1": {"jitter_seconds": 3}},
    )  # fmt: skip
    host.run()
    (engine,) = host.load().settings.engine
    assert (engine.keep_generations, engine.scan_timeout_seconds) == (6, 9)
    assert host.load().settings.jitter_seconds == 0
    assert host.known.left_out == ("engine.other.track: no such engine here",)


def test_a_damaged_memory_of_fragments_is_asked_for_anew(host: OwnHost, site: Site) -> None:
    publish(site, 1, all={"limits.max_attempts": 7})
    host.run()
    (host.folder / "state/fragment.json").write_text("{")
    assert host.load().settings.limits.max_attempts == 3
    assert host.run().exit_code == 0
    assert host.load().settings.limits.max_attempts == 7


def test_a_disk_that_keeps_no_fragment_keeps_no_engine_from_being_proven(
    host: OwnHost, site: Site
) -> None:
    host.run()
    place = host.folder / "state/fragment.json"
    place.unlink()
    place.mkdir()
    publish(site, 1, all={"limits.max_attempts": 7})
    site.repository.release("a", {"rules.txt": b"two"}, sequence=2)
    report = host.run()
    assert (report.exit_code, report.engines[0].outcome) == (1, "installed")
    assert str(place) in report.troubles[0].message


def test_a_refused_fragment_is_a_warning_of_monitoring(host: OwnHost, site: Site) -> None:
    publish_bytes(site, b"{")
    host.run()
    done = CliRunner().invoke(check, ["--config", str(host.config)], standalone_mode=False)
    assert (done.return_value, done.output[:36]) == (1, "WARNING site's settings: fragment (u")


def test_a_list_that_names_no_setting_is_a_mistake_of_the_file(host: OwnHost) -> None:
    host.write('[remote_settings]\nallow = ["safe", "intervall_seconds"]')
    with pytest.raises(SettingsError, match=r"remote_settings.allow: intervall_seconds") as found:
        host.load()
    assert "interval_seconds" in found.value.hint

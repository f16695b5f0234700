"""Tasks from the order to the outcome: a real mirror, three real updaters with YARA scanners."""

import contextlib
import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from keys.model.release import encode
from tests.fleet import BIN, Fleet, Host, run
from tests.loopback import Quiet, Server, running
from tests.mirror.serving import wait_for

pytestmark = pytest.mark.slow
RULE = 'rule Sample{number} {{ strings: $a = "a sample of release {number}" condition: $a }}\n'


@dataclass
class Site:
    """One fleet, the scanners of its hosts, and what a rogue mirror needs to know."""

    fleet: Fleet
    hosts: list[Host]
    scanners: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def task(self, kind: str, *words: str) -> str:
        """Add a task; return its id."""
        told = self.fleet.sigmirror("task", "add", kind, *words, "--json")
        return str(json.loads(told)["id"])

    def show(self, id_: str, *, code: int) -> dict[str, str]:
        """Return how far each host is with a task, and what it said."""
        told = json.loads(self.fleet.sigmirror("task", "show", id_, "--json", code=code))
        return {line["host"]: f"{line['state']} {line['detail']}" for line in told["turnout"]}

    def totals(self) -> dict[str, dict[str, int]]:
        """Return of every task how many hosts are how far."""
        found = json.loads(self.fleet.sigmirror("task", "list", "--json"))
        return {one["id"]: one["totals"] for one in found}

    def contact(self) -> None:
        for host in self.hosts:
            host.sigupdate("report")

    def reads(self) -> dict[str, int]:
        return {line["host"]: line["loads"][0]["sequence"] for line in self.fleet.hosts(code=None)}

    def signed(self, id_: str) -> dict[str, Any]:
        """Return a task as it is handed out, from the mirror's own database."""
        path = self.fleet.folder / "mirror/state/fleet.db"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            asked = "SELECT payload, signatures, begins FROM tasks WHERE id = ?"
            payload, signatures, due = connection.execute(asked, (id_,)).fetchone()
        task = {"payload": payload, "signatures": json.loads(signatures)}
        return {"task": task, "due": due}


def publish(fleet: Fleet, number: int) -> None:
    release = fleet.folder / "release"
    release.mkdir(exist_ok=True)
    (release / "rules.yar").write_text(RULE.format(number=number))
    fleet.sigmirror("publish", "inhouse", release)


def scanning(fleet: Fleet, name: str, accept: str) -> Host:
    host = fleet.host(name)
    config = host.folder / "sigupdate.toml"
    text = config.read_text().partition("[[engine]]")[0]
    config.write_text(
        f'{text}[[engine]]\nname = "scan"\nkind = "yara"\nchannels = ["inhouse"]\n'
        f'socket = "{host.folder}/scan.sock"\nscan_timeout_seconds = 30\n'
        f"[tasks]\naccept = {accept}\n"
    )
    return host


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    fleet = Fleet(tmp_path)
    fleet.found()
    with fleet.running():
        every = '["update", "prove", "verify", "rollback", "report"]'
        hosts = [scanning(fleet, name, every) for name in ("mx1", "mx2")]
        hosts.append(scanning(fleet, "mx3", '["verify"]'))
        site = Site(fleet, hosts)
        with contextlib.ExitStack() as stack:
            for host in hosts:
                site.scanners[host.name] = stack.enter_context(scanner(host))
            yield site


@contextlib.contextmanager
def scanner(host: Host) -> Iterator[subprocess.Popen[bytes]]:
    words = [BIN / "sigupdate", "yara-scanner", "--config", host.folder / "sigupdate.toml"]
    with (host.folder / "scanner.log").open("wb") as log:
        process = subprocess.Popen([*map(str, words)], stdout=log, stderr=log)
    try:
        wait_for((host.folder / "scan.sock").exists, f"the scanner of {host.name}")
        yield process
    finally:
        process.kill()
        process.wait()


def test_hosts_do_what_their_site_signed_once_and_say_what_came_of_it(site: Site) -> None:
    again = site.task("report", "--all", "--at", "* * * * *", "--reason", "a pulse")
    publish(site.fleet, 1)
    site.hosts[0].sigupdate("run")
    publish(site.fleet, 2)
    for host in site.hosts:
        host.sigupdate("run")
    assert site.reads() == {"mx1": 2, "mx2": 2, "mx3": 2}
    every_kind_is_done_and_one_host_refuses(site)
    a_task_that_was_killed_is_interrupted(site)
    a_rogue_mirror_starts_nothing(site)
    what_comes_again_is_done_once_for_each_time(site, again)
    log = (site.fleet.folder / "mirror/state/publish.jsonl").read_text()
    assert '"what":"task"' in log
    assert '"what":"task-cancel"' in log
    assert "every signature holds" in site.fleet.sigmirror("verify-log")


def every_kind_is_done_and_one_host_refuses(site: Site) -> None:
    late = site.task("report", "--hosts", "mx1", "--expires", "1s")
    verify = site.task("verify", "--all", "--reason", "an audit")
    prove = site.task("prove", "--hosts", "mx1, mx2", "--engine", "scan")
    rollback = site.task("rollback", "--hosts", "mx1,mx3", "--reason", "false alarms")
    publish(site.fleet, 3)
    update = site.task("update", "--hosts", "mx?")
    cancelled = site.task("verify", "--all")
    site.fleet.sigmirror("task", "cancel", cancelled[:8], "--reason", "not needed")
    time.sleep(1)
    site.contact()
    totals = site.totals()
    assert totals[late] == {"missed": 1}
    assert totals[verify] == {"done": 3}
    assert totals[update] == {"done": 2, "refused": 1}
    assert totals[cancelled] == {"cancelled": 3}
    assert all("proven" in told for told in site.show(prove, code=0).values())
    went, refused = site.show(rollback, code=1).values()
    assert went.startswith("done scan: went_back, generation 1")
    assert refused == "refused this host does no rollback on its site's order (tasks.accept)"
    assert site.reads() == {"mx1": 3, "mx2": 3, "mx3": 2}
    site.contact()  # nothing is done twice
    shown = site.fleet.sigmirror("host", "show", "mx3")
    assert f"task {rollback} rollback  refused" in shown
    assert site.fleet.process
    assert site.fleet.process.told("task-refused", host="mx3", task=rollback)
    status = site.fleet.sigmirror("status", "--check", code=1)
    assert f"problem: host mx1: task {late} (report): missed" in status
    assert f"problem: host mx3: task {rollback} (rollback): refused: this host does no" in status


def a_task_that_was_killed_is_interrupted(site: Site) -> None:
    host = site.hosts[1]
    prove = site.task("prove", "--hosts", "mx2")
    site.scanners["mx2"].send_signal(signal.SIGSTOP)
    words = [BIN / "sigupdate", "report", "--config", host.folder / "sigupdate.toml"]
    with subprocess.Popen([*map(str, words)], stdout=subprocess.DEVNULL) as process:
        begun = host.folder / "state/tasks/begun.json"
        wait_for(lambda: f'"under_way":{{"task":"{prove}"' in begun.read_text(), "the task")
        process.kill()
    site.scanners["mx2"].send_signal(signal.SIGCONT)
    assert site.totals()[prove] == {"handed out": 1}
    assert f"task {prove}: interrupted" in host.sigupdate("report")
    assert site.show(prove, code=1)["mx2"].startswith("interrupted")
    assert prove not in host.sigupdate("report")
    title = f"host mx2: task {prove} (prove): interrupted"
    assert title in site.fleet.sigmirror("notify", "--dry-run")
    assert f"task {site.task('prove', '--hosts', 'mx2')}: done" in host.sigupdate("report")
    assert title not in site.fleet.sigmirror("notify", "--dry-run")  # it was made good


def a_rogue_mirror_starts_nothing(site: Site) -> None:
    """It hands out to mx1 what is for mx2, what was done, and what nobody signed."""
    others = site.task("rollback", "--hosts", "mx2", "--reason", "false alarms")
    done = site.task("rollback", "--hosts", "mx1", "--reason", "false alarms")
    host = site.hosts[0]
    assert f"task {done}: done" in host.sigupdate("run")
    reads = site.reads()
    unsigned = site.signed(done)
    unsigned["task"]["payload"] = unsigned["task"]["payload"].replace(done, "f" * 16)
    handed = [site.signed(others), site.signed(done), unsigned, {"task": "none"}]
    config = host.folder / "sigupdate.toml"
    honest = config.read_text()
    with rogue(encode({"taken": True, "tasks": handed})) as url:
        config.write_text(honest.replace(site.fleet.url, url))
        said = run("sigupdate", "run", "--config", config)
        assert said.returncode == 1  # it serves no metadata either
    config.write_text(honest)
    assert f"task {others}: refused: it is for mx2, not for mx1" in said.stdout
    assert f"task {done}: refused: it was begun before" in said.stdout
    assert (
        f"task {'f' * 16}: refused: repository site: policy was signed by 0/1 keys" in said.stdout
    )
    assert "task unknown: refused" in said.stdout
    host.sigupdate("run")
    assert site.reads() == reads
    assert site.totals()[done] == {"done": 1}  # the first outcome counts
    site.fleet.sigmirror("task", "cancel", others)


@contextlib.contextmanager
def rogue(answer: bytes) -> Iterator[str]:
    """Answer every report so, and nothing else."""

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            self.send_error(404)

    with running(Server(Handler)) as url:
        yield url


def what_comes_again_is_done_once_for_each_time(site: Site, id_: str) -> None:
    """A daemon hears of it with a heartbeat."""
    host = site.hosts[1]
    config = host.folder / "sigupdate.toml"
    config.write_text(f"{config.read_text()}[report]\nheartbeat_seconds = 1\n")
    words = [BIN / "sigupdate", "daemon", "--config", config]
    said = host.folder / "daemon.log"
    with said.open("wb") as log, subprocess.Popen([*map(str, words)], stdout=log) as daemon:
        wait_for(lambda: f"task {id_}: done" in said.read_text(), "the next full minute")
        daemon.terminate()
    path = site.fleet.folder / "mirror/state/fleet.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        asked = "SELECT due, outcome FROM task_runs WHERE task = ? AND host = 'mx2'"
        runs = connection.execute(asked, (id_,)).fetchall()
    assert runs
    assert {due[-10:] for due, _ in runs} == {"00.000000Z"}
    assert {outcome for _, outcome in runs} == {"done"}

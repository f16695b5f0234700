"""The ten rows of the demo: each does one thing to the world and measures what came of it."""

import datetime as dt
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yara_x

from tests.demo.scanning import Load, found
from tests.demo.stage import RowError, check, wait_for
from tests.demo.world import PASSWORD, RULE_FILES, Host, World, get, thaw
from tests.samples import CLEAN, Sample

HERE = Path(__file__).parent
SLOWEST_SCAN = 2.0  # seconds
KILLS = int(os.environ.get("KILLS", "12"))  # fewer where a test looks at a later row
SCANS_AFTER_END = 30


def wrong_password(world: World) -> tuple[str, str]:
    """Pull with a wrong password: one request, then the upstream is stopped."""
    world.site.start()
    wait_for(lambda: _upstream_state(world) == "stopped", "the site to stop the upstream")
    time.sleep(2.5)  # two more turns of the schedule
    refused = [r for r in world.vendor.requests() if r["status"] == 401]
    all_of_site = [r for r in world.vendor.requests() if "/metadata/" in r["path"]]
    check(len(refused) == 1, f"{len(refused)} requests with 401 in the vendor's log")
    check(len(all_of_site) == 1, f"{len(all_of_site)} requests in the vendor's log")
    return "401, upstream stopped", "vendor log: 1 request, no retry"


def _upstream_state(world: World) -> str:
    return str(world.site.status()["upstreams"][0]["state"])


def first_release(world: World) -> tuple[str, str]:
    """Correct the password, release, install, start the engines, prove."""
    (world.stage.folder / "site-password").write_text(PASSWORD + "\n")
    world.release([Sample.fresh("sample-a")])
    world.pulled()
    for host in world.hosts:
        world.stage.run("sigupdate", "run", "--install-only", "--config", host.config)
        host.start_engines()
        host.prove()
    for host, engine in _engines(world):
        socket = host.socket(engine)
        check(host.generation(engine) == 1, f"{host.name} {engine}: not generation 1")
        check(found(socket, world.samples[0].data), f"{host.name} {engine}: sample-a missed")
        check(not found(socket, CLEAN), f"{host.name} {engine}: the clean sample was found")
    return "gen 1 proven", "marker + sample-a found, clean passed"


def _engines(world: World) -> Iterator[tuple[Host, str]]:
    return ((host, engine) for host in world.hosts for engine in host.engines)


def release_under_load(world: World) -> tuple[str, str]:
    """Install a release while every engine of the first host is scanning without a pause."""
    sample_b = Sample.fresh("sample-b")
    first = world.hosts[0]
    loads = [Load(first.socket(engine), sample_b.data) for engine in first.engines]
    for load in loads:
        load.__enter__()
    try:
        world.release([*world.samples, sample_b])
        world.pulled()
        for host in world.hosts:
            host.update()
        time.sleep(0.3)
    finally:
        for load in loads:
            load.__exit__()
    for load in loads:
        lost = load.sent - len(load.answers)
        check(lost == 0, f"{lost} of {load.sent} scans had no answer")
        check(load.flips == (1, 0), f"{load.flips[0]} flips to found, {load.flips[1]} back")
        check(load.slowest <= SLOWEST_SCAN, f"a scan took {load.slowest:.2f} s")
    sent, missed = sum(x.sent for x in loads), sum(x.answers.count(False) for x in loads)
    slowest = max(load.slowest for load in loads)
    return (
        f"sent {sent} = answered {sent}",
        f"sample-b missed {missed}, then found; flips once, 0 back; slowest scan {slowest:.2f} s",
    )


def flipped_byte(world: World) -> tuple[str, str]:
    """Flip one byte of a definition on the mirror: refused, named, nothing installed."""
    world.release([*world.samples, Sample.fresh("sample-c")], broken=3)
    world.pulled()
    host = world.hosts[1]
    blob = _blob_only_in_newest(world)
    good = blob.read_bytes()
    _overwrite(blob, bytes([good[0] ^ 1]) + good[1:])
    try:
        said = host.update(expect=3)
    finally:
        _overwrite(blob, good)
    name = blob.name.partition(".")[2]
    check(name in said, f"{name} is not named in: {said.strip()}")
    check(host.generation() == 2, f"current is generation {host.generation()}")
    return "exit 3, names the file", "current still gen 2"


def _blob_only_in_newest(world: World) -> Path:
    blobs = (world.site.folder / "r/acme/targets/rules/files").glob("*.rules-1.yar")
    return max(blobs, key=lambda path: path.stat().st_mtime_ns)


def _overwrite(path: Path, data: bytes) -> None:
    """Replace a file's bytes, as a faulty disk or an intruder would."""
    path.unlink()
    path.write_bytes(data)


@contextmanager
def _watching(link: Path) -> Iterator[list[str]]:
    """Note every place a link points to until the block ends."""
    seen = [os.readlink(link)]  # noqa: PTH115 - the text itself
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.002):
            now = os.readlink(link)  # noqa: PTH115
            if now != seen[-1]:
                seen.append(now)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def broken_rule(world: World) -> tuple[str, str]:
    """Offer the release whose third file is broken: refused by the loader, never swapped."""
    host = world.hosts[0]
    with _watching(host.current()) as seen:
        said = host.update(expect=5)
    check(len(seen) == 1, f"current pointed at {seen}")
    check("rules-3.yar" in said, f"rules-3.yar is not named in: {said.strip()}")
    check(_marker_alone_passes(world), "the marker was not found beside the broken rule")
    return "exit 5 at test", "never swapped; a marker alone would have passed"


def _marker_alone_passes(world: World) -> bool:
    """Load the broken release as an engine does that skips what it cannot read."""
    marker = Sample.fresh("marker")
    compiler = yara_x.Compiler()
    skipped = 0
    for path in sorted((world.stage.folder / "drop/rules").glob("*.yar")):
        try:
            compiler.add_source(path.read_text())
        except yara_x.CompileError:
            skipped += 1
    compiler.add_source(marker.yara())
    rules = yara_x.Scanner(compiler.build()).scan(marker.data).matching_rules
    return skipped == 1 and [rule.identifier for rule in rules] == [marker.rule_name]


def frozen_engine(world: World) -> tuple[str, str]:
    """Freeze the engine when `current` moves: taken back, and the old marker is found again."""
    world.release([*world.samples[:2], Sample.fresh("sample-d")])
    world.pulled()
    host = world.hosts[1]
    scanner = _scanner(world, host)
    link = host.current()
    fault = {"PYTHONPATH": str(HERE / "faults"), "FAULT_FREEZE": str(scanner.pid)}
    try:
        with _watching(link) as seen:
            host.update(expect=5, env=fault)
    finally:
        thaw(scanner)
    way = [place.rpartition("/")[2].partition("-")[0] for place in seen]
    check(len(way) == 3 and way[0] == way[2], f"current went {'>'.join(way)}")
    said = host.prove()
    check("proven" in said, f"not proven afterwards: {said.strip()}")
    return f"gen {'>'.join(way)}, exit 5", f"marker of gen {way[2]} found again"


def _scanner(world: World, host: Host) -> "subprocess.Popen[bytes]":
    for process in world.stage.processes:
        if str(host.config) in map(str, process.args) and "yara-scanner" in process.args:  # type: ignore[arg-type,operator]
            return process
    raise RowError(f"{host.name} has no scanner")


def killed(world: World) -> tuple[str, str]:
    """Kill the updater at points spread over an update: each leaves a host that scans."""
    host = world.hosts[2]
    total = _count_changes(world, host)
    points = [max(1, round(total * (n + 0.5) / KILLS)) for n in range(KILLS)]
    check(len(set(points)) == KILLS, f"only {total} changes to die at")
    with ThreadPoolExecutor(2) as pool:
        good = sum(pool.map(lambda point: _survives(world, host, point), points))
    check(good == KILLS, f"{good}/{KILLS} cold starts good")
    host.update()
    return f"{good}/{KILLS} cold starts good", f"next run exits 0 each time ({total} changes)"


def _twin(world: World, host: Host, name: str) -> Host:
    """Copy a host as it stands under another name, engines not running."""
    folder = world.stage.folder / name
    shutil.copytree(host.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    twin = Host(world.stage, host.site, name)
    text = twin.config.read_text().replace(str(host.folder), str(folder))
    twin.config.write_text(text)
    return twin


def _faulty(host: Host, at: int, count: Path | None = None) -> int:
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE / "faults"),
        "FAULT_FOLDER": str(host.folder / "state"),
        "FAULT_AT": str(at),
        "FAULT_COUNT": str(count or ""),
    }
    command = [str(Path(sys.executable).parent / "sigupdate"), "run", "--install-only"]
    command += ["--config", str(host.config)]
    done = subprocess.run(command, env=environment, check=False, capture_output=True)
    return done.returncode


def _count_changes(world: World, host: Host) -> int:
    twin = _twin(world, host, "count")
    count = world.stage.folder / "changes"
    check(_faulty(twin, 0, count) == 0, "the update that is only counted failed")
    return int(count.read_text())


def _survives(world: World, host: Host, point: int) -> bool:
    twin = _twin(world, host, f"killed-{point}")
    check(_faulty(twin, point) == -9, f"not killed at change {point}")
    scanner = twin.start_yara()
    finds = found(twin.socket("yara"), world.samples[0].data)
    twin.update()
    scanner.terminate()
    scanner.wait()
    return finds


def day_after_the_end(world: World) -> tuple[str, str]:
    """The licence ends: the vendor is not asked for definitions, scanning goes on."""
    yesterday = world.today() - dt.timedelta(days=1)
    world.issue(yesterday)
    world.renew_customer()
    world.release([*world.samples, Sample.fresh("sample-e")])
    wait_for(lambda: _licence_state(world) == "renewal_window", "the site to see the licence's end")
    world.stage.run("sigmirror", "pull", "acme", "--config", world.site.config, expect=4)
    for host in world.hosts:
        credential = host.credential.read_text().strip()
        code, _ = get(f"{world.site.url}/r/acme/metadata/timestamp.json", credential)
        check(code == 200, f"{host.name} was answered {code}")
        host.update()
    hits = 0
    for number in range(SCANS_AFTER_END):
        host, engine = list(_engines(world))[number % len(list(_engines(world)))]
        hits += found(host.socket(engine), world.samples[0].data)
    check(hits == SCANS_AFTER_END, f"{hits}/{SCANS_AFTER_END} scans found sample-a")
    return "pull exit 4", f"hosts 200; {hits}/{SCANS_AFTER_END} scans still found"


def _licence_state(world: World) -> str:
    return str(world.site.status()["licences"][0]["state"])


def renewed(world: World) -> tuple[str, str]:
    """A new licence file, the same password: the running mirror pulls again."""
    before = world.site.process.pid if world.site.process else 0
    world.issue(world.today() + dt.timedelta(days=365))
    world.renew_customer()
    world.pulled()
    after = world.site.process
    check(after is not None and after.poll() is None and after.pid == before, "another process")
    for host in world.hosts:
        said = host.update()
        check("proven" in said, f"{host.name}: {said.strip()}")
        check(found(host.socket("yara"), world.samples[-1].data), f"{host.name} missed the newest")
    return "pulls again, same pid", f"release {world.sequence} proven"


def plain_client(world: World) -> tuple[str, str]:
    """Read the vendor's repository at the site with plain python-tuf: the same files."""
    host = world.hosts[0]
    targets = [f"rules/files/rules-{n}.yar" for n in range(1, RULE_FILES + 1)]
    folder = world.stage.folder / "plain"
    command = [
        sys.executable, str(HERE / "plain_tuf.py"), str(world.vendor.root),
        f"{world.site.url}/r/acme", str(host.credential), str(folder), *targets,
    ]  # fmt: skip
    world.stage.echo(command)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    check(done.returncode == 0, done.stderr.strip())
    theirs = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
    ours = {
        f"rules/files/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (host.current() / "acme/rules").glob("rules-*.yar")
    }
    check(theirs == ours, f"{len(theirs.items() & ours.items())} of {len(targets)} files are equal")
    return "same files", f"sha256 equal ({len(ours)} files)"


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    title: str
    act: Callable[[World], tuple[str, str]]


ROWS = (
    Row("wrong licence password", wrong_password),
    Row("release 1", first_release),
    Row("release 2 under load", release_under_load),
    Row("byte flipped on mirror", flipped_byte),
    Row("broken rule, file 3 of 5", broken_rule),
    Row("engine frozen at reload", frozen_engine),
    Row(f"kill -9 at {KILLS} points", killed),
    Row("day after licence end", day_after_the_end),
    Row("new .lic, same password", renewed),
    Row("plain python-tuf client", plain_client),
)

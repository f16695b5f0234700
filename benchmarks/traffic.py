"""What a run asks of a mirror: requests in the mirror's log, bytes through a counting relay.

Bytes are those of HTTP both ways, headers of requests and answers included.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.definitions import signature_base
from benchmarks.relay import Relay, relaying
from benchmarks.row import Measured, count
from benchmarks.stage import Host, Mirror, Stage

DAY = "2025-08-13"
CHANGED = "yara/apt_apt29_grizzly_steppe.yar"
UNIT_BYTES = "bytes of HTTP, both ways, headers included"


def measure(stage: Stage) -> Iterator[Measured]:
    """Count a run without a change, then one with one changed file of signature-base."""
    release = stage.folder / "release"
    if not signature_base(release, DAY):
        print("  skipped: signature-base is not at hand; SIGMIRROR_REAL_DATA names its folder")
        return
    mirror = Mirror.made(stage)
    mirror.publish("signature-base", release)
    mirror.wait_until_served()
    with relaying("127.0.0.1", mirror.port) as relay:
        host = Host(stage, mirror, "host", "yara", relay.url).make("signature-base")
        host.update("--install-only")
        host.start_engine()
        host.update()
        yield from _no_change(host, mirror, relay)
        yield from _one_change(host, mirror, relay, release)


def _no_change(host: Host, mirror: Mirror, relay: Relay) -> Iterator[Measured]:
    requests = _requests(host, mirror, relay)
    detail = f"{relay.sent} sent, {relay.received} received; " + _paths(requests)
    row = count("no-change run: requests", len(requests), "requests", floor=2, goal=2)
    yield Measured(row, detail)
    row = count("no-change run: bytes", relay.total, UNIT_BYTES, floor=2048, goal=2048)
    yield Measured(row, detail)


def _one_change(host: Host, mirror: Mirror, relay: Relay, release: Path) -> Iterator[Measured]:
    changed = release / CHANGED
    with changed.open("ab") as file:
        file.write(b"\n// one line more\n")
    mirror.publish("signature-base", release)
    mirror.wait_until_served()
    requests = _requests(host, mirror, relay)
    length = changed.stat().st_size
    files = sum(path.is_file() for path in release.rglob("*"))
    detail = f"{files} files; the changed one has {length} bytes; {_paths(requests)}"
    row = count(
        "one changed file of signature-base: bytes beyond it",
        relay.total - length, UNIT_BYTES, floor=48 << 10, goal=48 << 10,
    )  # fmt: skip
    yield Measured(row, detail)
    name = "one changed file of signature-base: requests"
    yield Measured(count(name, len(requests), "requests"), detail)


def _requests(host: Host, mirror: Mirror, relay: Relay) -> list[str]:
    """Run once and return the paths that were asked for."""
    before = len(mirror.requests())
    relay.reset()
    report = json.loads(host.update("--json").output)
    assert report["exit_code"] == 0, report  # noqa: S101 - a benchmark's own sanity
    return [f"{r['path'].rpartition('/')[2]} ({r['bytes']})" for r in mirror.requests()[before:]]


def _paths(requests: list[str]) -> str:
    return " ".join(requests)

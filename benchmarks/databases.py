"""A ClamAV database followed at a private mirror: a pull with nothing new, two steps at once."""

import json
from collections.abc import Iterator

from benchmarks import process
from benchmarks.definitions import genuine
from benchmarks.relay import Relay, relaying
from benchmarks.row import Measured, count
from benchmarks.stage import Mirror, Stage
from tests.mirror.clamav_vendor_server import ClamavServer, in_background

UNIT_BYTES = "bytes of HTTP, both ways, headers included"


def measure(stage: Stage) -> Iterator[Measured]:
    """Count requests and bytes; those of the files themselves are taken off a step."""
    if genuine("clamav/testdb/test-1.cvd") is None:
        print("  skipped: the genuine databases are not at hand; SIGMIRROR_REAL_DATA names them")
        return
    with in_background(ClamavServer()) as vendor, relaying("127.0.0.1", vendor.port) as relay:
        mirror = Mirror(stage, "site").founded(
            '[[upstream]]\nname = "official"\nkind = "clamav"\nchannel = "clamav"\n'
            f'url = "{relay.url}"\ndatabases = ["test"]\n'
        )
        vendor.genuine(1)
        _pull(mirror, relay, vendor)
        yield from _rows("no-change pull of a database", *_pull(mirror, relay, vendor), goal=1)
        vendor.genuine(2)
        vendor.genuine(3)
        yield from _rows("two steps of a database at once", *_pull(mirror, relay, vendor), goal=7)


def _pull(mirror: Mirror, relay: Relay, vendor: ClamavServer) -> tuple[int, int]:
    """Pull; return requests, and bytes beyond those of the files."""
    relay.reset()
    vendor.forget()
    told = process.run("sigmirror", "pull", "official", "--json", "--config", mirror.config)
    return json.loads(told.output)["pulls"][0]["requests"], relay.total - vendor.sent


def _rows(name: str, requests: int, beyond: int, *, goal: int) -> Iterator[Measured]:
    detail = f"{requests} requests, {beyond} bytes beyond the files"
    yield Measured(count(f"{name}: requests", requests, "requests", goal=goal), detail)
    most = 1024 * goal
    yield Measured(count(f"{name}: bytes", beyond, UNIT_BYTES, goal=most), detail)

"""Replicas over one bucket and one PostgreSQL: what one machine is told, every other knows."""

import json
from collections.abc import Iterator

import pytest

from tests.fleet import run
from tests.mirror import postgres
from tests.mirror.object_stores import ObjectStore
from tests.mirror.replica_site import Host, ReplicaSite
from tests.mirror.serving import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def database() -> Iterator[str]:
    with postgres.running() as url:
        yield url


def test_a_host_admitted_on_one_machine_is_served_and_heard_on_every_other(
    radosgw: ObjectStore, database: str
) -> None:
    with ReplicaSite.founded(radosgw, database) as site:
        site.publish()
        here = site.replica("here")
        there = site.replica("there", more='blobs = "redirect"\n')
        for more, code in (((), 2), (("--serve",), 0)):
            assert (
                run("sigmirror", "check-config", *more, "--config", here.config).returncode == code
            )
        first, second = site.host("mx1", here), site.host("mx2", there)
        for host in (first, second):
            host.start_engine()
            wait_for(host.is_admitted, f"{host.name} to be admitted")
            assert host.run()["engines"][0]["proof"] == "proven"
        told = json.loads(site.sigmirror("hosts", "--json"))
        assert [(line["host"], line["health"]) for line in told["hosts"]] == [
            ("mx1", "ok"), ("mx2", "ok"),
        ]  # fmt: skip

        assert here.running.metrics()['sigmirror_cache_requests_total{outcome="miss"}'] == 1
        assert there.running.told("request", host="mx2", status=307)
        assert not list(there.cache.glob("blobs/*/*"))

        site.sigmirror("host", "invite", "mx3", "--out", site.folder / "invitation")
        third = Host(site, "mx3", [there.url])
        third.write()
        (third.folder / "cred").unlink(missing_ok=True)
        wait_for(lambda: _enrol(site, third, here.url), "the invitation to be known")
        assert third.is_admitted()  # by the other replica, in the same moment

        site.sigmirror("host", "remove", "mx1")
        wait_for(lambda: first.run()["exit_code"] == 4, "the removed host to be refused")
        assert second.run()["exit_code"] == 0
        site.sigmirror("verify-log")


def _enrol(site: ReplicaSite, host: Host, mirror: str) -> bool:
    done = run(
        "sigupdate", "enrol", "--mirror", mirror, "--token-file", site.folder / "invitation",
        "--ca-file", site.folder / "ca.pem", "--config", host.config,
    )  # fmt: skip
    return done.returncode == 0

"""A mirror that runs, and operators who publish, point, pull and collect beside it."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.mirror.operator import Operator, now
from tests.mirror.serving import SIGMIRROR, Process, wait_for

SERVE = '[serve]\nlisten = "127.0.0.1:0"\nmetrics_listen = "127.0.0.1:0"\n'
ROUNDS = 4


class Site:
    """One mirror, and the programs that work on it."""

    def __init__(self, operator: Operator, folder: Path) -> None:
        self.operator = operator
        self.folder = folder

    def sigmirror(self, *words: str) -> Any:
        command = [str(SIGMIRROR), *words, "--json", "--config", str(self.operator.config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, (words, done.stderr)
        return json.loads(done.stdout)

    def publish(self, channel: str, number: int) -> tuple[str, int, bytes]:
        folder = self.folder / f"{channel}-{number}"
        folder.mkdir()
        data = f"{channel} {number}".encode()
        (folder / "rules").write_bytes(data)
        found = self.sigmirror("publish", channel, str(folder))
        assert found["changed"]
        return channel, found["sequence"], data

    def publishes(self, channel: str, numbers: range) -> list[tuple[str, int, bytes]]:
        return [self.publish(channel, number) for number in numbers]

    def points(self) -> None:
        for number in range(ROUNDS):
            self.sigmirror("point", "base", "stable", str(1 + number % 2))

    def collects(self) -> None:
        for _ in range(ROUNDS):
            self.sigmirror("gc")

    def pulls(self) -> None:
        for number in range(ROUNDS):
            drop = self.operator.drop / "rules"
            drop.write_bytes(f"pulled {number}".encode())
            self.sigmirror("pull", "inhouse")

    def contents(self, channel: str) -> Iterator[tuple[int, bytes]]:
        """Read every release of a channel, as a client would believe it."""
        client = self.operator.client
        channels = client.channels(now=now())
        for pin, manifest in channels.manifests(channel):
            del pin
            (file,) = channels.files(manifest)
            yield manifest.sequence, client.blob(f"{channel}/files/rules", file.pin, 1 << 20)


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    operator = Operator(tmp_path, capsys)
    operator.config.write_text(f"keep_releases = 1000\n{operator.config.read_text()}{SERVE}")
    (operator.drop / "rules").write_bytes(b"the first")
    found = Site(operator, tmp_path)
    found.publishes("base", range(1, 3))
    return found


@pytest.mark.slow
def test_whoever_publishes_beside_a_running_mirror_loses_nothing_and_reuses_no_version(
    site: Site, tmp_path: Path
) -> None:
    with (
        Process.started(site.operator.config, tmp_path / "log") as process,
        ThreadPoolExecutor(6) as pool,
    ):
        others = [pool.submit(work) for work in (site.points, site.collects, site.pulls)]
        work = [("one", range(ROUNDS)), ("two", range(ROUNDS)), ("two", range(10, 10 + ROUNDS))]
        tasks = [pool.submit(site.publishes, *words) for words in work]
        published = [release for task in tasks for release in task.result()]
        for other in others:
            other.result()
        last = f"pulled {ROUNDS - 1}".encode()
        wait_for(lambda: last in dict(site.contents("inhouse")).values(), "the last pull")
        assert all(one["kind"] == "FetchError" for one in process.events("failed"))
    for channel in ("one", "two"):
        mine = {sequence: data for name, sequence, data in published if name == channel}
        assert len(mine) == sum(1 for name, _, _ in published if name == channel)
        assert dict(site.contents(channel)) == mine
    lines = site.operator.mirror.journal.read_text().splitlines()
    timestamps = [json.loads(line)["timestamp"] for line in lines]
    assert timestamps == sorted(set(timestamps))
    served = site.operator.mirror.folder / "r/site/metadata"
    assert all((served / f"{number}.timestamp.json").is_file() for number in timestamps)
    assert site.sigmirror("status")["problems"] == []

"""`python -m benchmarks [GROUP...]`: measure, print a table, and keep the rows as JSON."""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import containers, databases, feeds, fleet, large, proof, replicas, startup, traffic
from benchmarks.row import Measured, Row, table, to_json
from benchmarks.stage import HAS_CLAMD, Stage, stage

RESULTS = Path(__file__).parent / "results"
NICE = 5
GROUPS: dict[str, Callable[[Stage], Iterator[Measured]]] = {
    "startup": startup.measure,
    "traffic": traffic.measure,
    "large": large.measure,
    "containers": containers.measure,
    "proof": proof.measure,
    "feeds": feeds.measure,
    "databases": databases.measure,
    "fleet": fleet.measure,
    "replicas": replicas.measure,
}


@click.command()
@click.argument("groups", nargs=-1, type=click.Choice(list(GROUPS)))
def main(groups: Sequence[str]) -> None:
    """Measure every group of rows, or only GROUPS."""
    os.nice(NICE)
    if not HAS_CLAMD:
        print("clamd is not installed: apt-get install clamav clamav-daemon")
    rows: list[Row] = []
    for group in groups or GROUPS:
        print(f"{group} …", flush=True)
        with stage() as made:
            for measured in GROUPS[group](made):
                rows.append(measured.row)
                print(f"  {measured.row.name}: {measured.detail}", flush=True)
    print(f"\n{table(rows)}\n\nrows: {_keep(rows)}")


def _keep(rows: Sequence[Row]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"
    path.write_bytes(to_json(rows))
    return path


if __name__ == "__main__":
    main()

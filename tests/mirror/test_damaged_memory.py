from pathlib import Path

import pytest

from tests.mirror.operator import Operator
from tests.mirror.serving import Process


def test_a_damaged_memory_of_one_upstream_leaves_metrics_readable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = Operator(tmp_path, capsys)
    addresses = '[serve]\nlisten = "127.0.0.1:0"\nmetrics_listen = "127.0.0.1:0"\n'
    operator.write(addresses)
    memory = operator.mirror.folder / "state/upstreams/inhouse.json"
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_bytes(b'{"version": ')
    with Process.started(operator.config, tmp_path / "log", command="serve") as process:
        assert process.metrics()['sigmirror_upstream_failed{upstream="inhouse"}'] == 1.0

"""A mirror that runs: what it holds is logged, counted and decided on beside it."""

from pathlib import Path

import pytest

from tests.mirror.operator import Operator, now
from tests.mirror.serving import Process, wait_for

BIG, SMALL = b"x" * 1000, b"y" * 100
SERVE = '[serve]\nlisten = "127.0.0.1:0"\nmetrics_listen = "127.0.0.1:0"\n'
METRIC = 'sigmirror_held{channel="inhouse",upstream="inhouse"}'


@pytest.mark.slow
def test_a_running_mirror_tells_of_a_hold_and_follows_the_operators_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = Operator(tmp_path, capsys)
    operator.write(SERVE)

    def offered() -> dict[str, bytes]:
        return operator.client.contents("inhouse", now=now())

    (operator.drop / "rules").write_bytes(BIG)
    with Process.started(operator.config, tmp_path / "log") as process:
        wait_for(lambda: process.told("published"), "the first release")
        assert METRIC not in process.metrics()
        (operator.drop / "rules").write_bytes(SMALL)
        wait_for(lambda: process.told("held", upstream="inhouse"), "the hold")
        assert process.metrics()[METRIC] == 1.0
        assurance = 'assurance="none",channel="inhouse",repository="site"'
        assert process.metrics()[f"sigmirror_release_assurance{{{assurance}}}"] == 1.0
        assert offered() == {"rules": BIG}
        operator.asks("hold", "release", "inhouse", "--reason", "fine")
        assert offered() == {"rules": SMALL}
        wait_for(lambda: METRIC not in process.metrics(), "the end of the hold")
    (line,) = process.events("held")
    assert line["level"] == "warning"
    assert "shrinks to 10 %" in line["detail"]

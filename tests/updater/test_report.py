"""What the exit code and monitoring say."""

from datetime import UTC, datetime, timedelta

import pytest

from updater import report
from updater.report import EngineReport, Level, RunReport, Trouble, judge
from updater.state import Proved

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GOOD = EngineReport(engine="e", outcome="kept", proof=Proved.proven, generation=3)
OLD = NOW - timedelta(hours=30)
TROUBLE = Trouble("the licence ended", "", 4)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([], 0), ([0, 0], 0), ([1, 6], 6), ([6, 4], 4), ([4, 5], 5), ([5, 3], 3), ([3, 2], 2)],
)
def test_the_exit_code_is_the_one_that_matters_most(codes: list[int], expected: int) -> None:
    assert report.worst(codes) == expected


def test_monitoring_is_told_when_no_mirror_ever_answered() -> None:
    last = RunReport(at=NOW, exit_code=1, engines=(GOOD,), troubles=(TROUBLE,))
    found, line = judge(last, max_age=timedelta(hours=26), now=NOW)
    assert (found, line) == (
        Level.critical,
        "when definitions were last found fresh is not known",
    )


def run(*engines: EngineReport, at: datetime = NOW, refreshed: datetime = NOW) -> RunReport:
    return RunReport(at=at, exit_code=0, engines=engines, refreshed={"site": refreshed})


@pytest.mark.parametrize(
    ("last", "level", "text"),
    [
        pytest.param(run(GOOD), Level.ok, "e generation 3", id="all is well"),
        pytest.param(report.NEVER_RUN, Level.critical, "no run", id="never run"),
        pytest.param(
            run(EngineReport("e", "kept")), Level.critical, "not proven: e", id="unproven"
        ),
        pytest.param(
            run(GOOD, refreshed=OLD), Level.critical, "since 2026-02-28 06:00", id="stale"
        ),
        pytest.param(
            run(GOOD, at=NOW + timedelta(days=900)), Level.critical, "ahead of this", id="future"
        ),
        pytest.param(
            run(GOOD, refreshed=NOW + timedelta(hours=1)), Level.critical, "ahead", id="future site"
        ),
        pytest.param(
            run(GOOD, at=NOW + timedelta(minutes=4)), Level.ok, "generation 3", id="a little ahead"
        ),
        pytest.param(run(GOOD, at=OLD), Level.critical, "since 2026-02-28 06:00", id="no runs"),
        pytest.param(
            run(EngineReport("e", "licence_ended", Proved.proven, troubles=(TROUBLE,))),
            Level.warning,
            "the licence ended",
            id="trouble that does not stop scanning",
        ),
        pytest.param(
            run(EngineReport("e", "kept", Proved.proven, held=("a 2 is in quarantine",))),
            Level.warning,
            "quarantine",
            id="something is held",
        ),
    ],
)
def test_monitoring_is_told_in_one_line(last: RunReport, level: Level, text: str) -> None:
    found, line = judge(last, max_age=timedelta(hours=26), now=NOW)
    assert found is level
    assert text in line
    assert "\n" not in line

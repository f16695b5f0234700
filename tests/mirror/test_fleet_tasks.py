"""Tasks are kept as they were signed, handed out until their outcome is told; alike everywhere."""

import dataclasses
from datetime import datetime, timedelta

import msgspec
import pytest

from keys.errors import LimitError, UsageError
from keys.model.release import encode
from keys.model.report import HostReport, TaskTold
from keys.model.task import MAX_ANSWER_BYTES, MAX_HANDED, Handed, SignedTask, Task, written
from mirror.fleet.desk import Desk
from mirror.fleet.tasks import MAX_OPEN, Kept, Run, Tasks, hand_out
from mirror.fleet.turnout import NEWS, counts, lines, news
from tests.tasking import DAY, HOUR, NOW, task

pytestmark = pytest.mark.slow


def kept(number: int = 1, *, added: datetime = NOW, **more: object) -> Kept:
    one = task(id=f"{number:016x}", **more)
    signed = SignedTask(payload=written(one), signatures={"k" * 64: "ab"})
    return Kept(one, signed, "an operator", added)


async def add(desk: Desk, *every: Kept) -> Tasks:
    for one in every:
        await Tasks(desk.database).add(one)
    return Tasks(desk.database)


async def handed_out(desk: Desk, host: str, *, now: datetime) -> list[Handed]:
    async with desk.database.changing() as connection:
        return await hand_out(connection, host, now=now)


async def tell(
    desk: Desk, handed: Handed, outcome: str, *, host: str = "mx1", number: int = 1
) -> None:
    told = TaskTold(task=_task(handed).id, due=handed.due, outcome=outcome, at=NOW, detail="so")
    report = HostReport(host=host, series="aa", number=number, at=NOW, tasks=(told,))
    await desk.take(report, encode(report), now=NOW)


def _task(handed: Handed) -> Task:
    return msgspec.json.decode(handed.task.payload, type=Task)


async def ids(desk: Desk, host: str = "mx1", now: datetime = NOW) -> list[int]:
    return [int(_task(one).id, 16) for one in await handed_out(desk, host, now=now)]


async def test_a_task_is_handed_out_as_it_was_signed_until_its_outcome_is_told(desk: Desk) -> None:
    one = kept()
    tasks = await add(desk, one)
    assert await handed_out(desk, "web1", now=NOW) == []
    (handed,) = await handed_out(desk, "mx1", now=NOW)
    assert (handed.task, handed.due) == (one.signed, NOW)
    assert await handed_out(desk, "mx1", now=NOW) == [handed]  # an answer may be lost
    await tell(desk, handed, "done")
    assert await ids(desk) == []
    assert await ids(desk, "mx2") == [1]
    (first, second) = await tasks.runs()
    assert (first.host, first.outcome, first.detail) == ("mx1", "done", "so")
    assert (second.host, second.outcome) == ("mx2", "")


async def test_a_task_to_a_pool_is_every_members_own(desk: Desk) -> None:
    await add(desk, kept(hosts=("web",)))
    (handed,) = await handed_out(desk, "web~pod-1", now=NOW)
    await tell(desk, handed, "done", host="web~pod-1")
    assert await ids(desk, "web~pod-1") == []
    assert await ids(desk, "web~pod-2") == [1]


async def test_the_first_outcome_counts_and_nobody_tells_of_what_he_was_not_asked(
    desk: Desk,
) -> None:
    tasks = await add(desk, kept())
    (handed,) = await handed_out(desk, "mx1", now=NOW)
    await tell(desk, handed, "done")
    await tell(desk, handed, "refused", number=2)
    await tell(desk, handed, "done", host="mx2")
    told = [(run.host, run.outcome) for run in await tasks.runs()]
    assert told == [("mx1", "done"), ("mx2", "")]


async def test_what_has_expired_is_cancelled_or_not_yet_due_is_not_handed_out(desk: Desk) -> None:
    tasks = await add(
        desk,
        kept(1, window_seconds=3600, ends=NOW + HOUR),
        kept(2),
        kept(3, at=NOW + 2 * HOUR),
    )
    assert await ids(desk) == [1, 2]
    assert await ids(desk, now=NOW + HOUR) == [2]
    await tasks.cancel(f"{2:016x}", who="an operator", now=NOW + HOUR)
    assert await ids(desk, now=NOW + 2 * HOUR) == [3]
    (second,) = [one for one in await tasks.every() if one.cancelled]
    assert second.cancelled_by == "an operator"


async def test_a_task_that_comes_again_is_handed_out_once_for_the_newest_time(desk: Desk) -> None:
    tasks = await add(desk, kept(cron="0 * * * *", window_seconds=7200, ends=NOW + 30 * DAY))
    (handed,) = await handed_out(desk, "mx1", now=NOW)
    await tell(desk, handed, "done")
    assert await ids(desk, now=NOW + timedelta(minutes=59)) == []
    (handed,) = await handed_out(desk, "mx1", now=NOW + 10 * HOUR)  # nothing has piled up
    assert handed.due == NOW + 10 * HOUR
    assert {run.due for run in await tasks.runs()} == {NOW, NOW + 10 * HOUR}
    (newest,) = await tasks.newest_runs(await tasks.every(), now=NOW + 10 * HOUR)
    assert newest.due == NOW + 10 * HOUR


async def test_one_answer_carries_a_bounded_number_and_size_of_tasks(desk: Desk) -> None:
    named = tuple(f"host-{number:04}" for number in range(1000))
    large = [kept(number, hosts=("mx1", *named)) for number in range(10)]
    small = [kept(100 + number, hosts=("mx2",)) for number in range(MAX_HANDED + 3)]
    await add(desk, *large, *small)
    found = await handed_out(desk, "mx1", now=NOW)
    assert 0 < len(found) < len(large)
    assert sum(len(encode(one)) for one in found) <= MAX_ANSWER_BYTES
    assert len(await handed_out(desk, "mx2", now=NOW)) == MAX_HANDED
    for number, handed in enumerate(found, start=1):
        await tell(desk, handed, "done", number=number)
    assert await ids(desk) == list(range(len(found), min(2 * len(found), len(large))))


async def test_open_tasks_are_limited_by_name(desk: Desk) -> None:
    tasks = await add(desk, *(kept(number) for number in range(MAX_OPEN)))
    with pytest.raises(LimitError, match="MAX_OPEN"):
        await tasks.add(kept(MAX_OPEN))
    await tasks.add(kept(MAX_OPEN, added=NOW + DAY, at=NOW + DAY, ends=NOW + 2 * DAY))


async def test_a_task_of_a_newer_mirror_on_the_same_database_harms_no_report(desk: Desk) -> None:
    await add(desk, kept(1, schema=2), kept(2, cron="0 3 * * *", tz="Mars/Base"), kept(3))
    assert await ids(desk) == [3]


async def test_a_task_is_found_by_the_beginning_of_its_id(desk: Desk) -> None:
    tasks = await add(desk, kept(0x1A00000000000000), kept(0x1B00000000000000))
    assert (await tasks.find("1a")).task.id == "1a00000000000000"
    with pytest.raises(UsageError, match="several"):
        await tasks.find("1")
    with pytest.raises(UsageError, match="there is none"):
        await tasks.find("2")


async def test_tasks_are_forgotten_by_age_with_what_came_of_them(desk: Desk) -> None:
    tasks = await add(desk, kept(1), kept(2, at=NOW + 9 * DAY, ends=NOW + 10 * DAY))
    await handed_out(desk, "mx1", now=NOW)
    await tasks.forget(NOW + 5 * DAY)
    assert [one.task.id for one in await tasks.every()] == [f"{2:016x}"]
    assert await tasks.runs() == []


def run(host: str, outcome: str = "", due: datetime = NOW) -> Run:
    return Run(f"{1:016x}", host, due, NOW, outcome, NOW if outcome else None, 0, "")


def test_the_turnout_tells_of_every_host_that_is_asked() -> None:
    hosts = ["mx1", "mx2", "mx3", "mx4", "web1"]
    runs = [run("mx1", "done"), run("mx2", "refused"), run("mx3"), run("mx9", "what a newer says")]
    found = lines(kept(), runs, hosts, now=NOW + HOUR)
    told = {line.host: line.state.value for line in found}
    assert told == {
        "mx1": "done", "mx2": "refused", "mx3": "handed out", "mx4": "waiting", "mx9": "failed",
    }  # fmt: skip
    assert counts(found)["done"] == 1
    late = lines(kept(), runs, hosts, now=NOW + DAY)
    assert [line.state.value for line in late if line.host in {"mx3", "mx4"}] == ["missed"] * 2


def test_the_turnout_of_a_cancelled_task_leaves_out_nobody() -> None:
    cancelled = Kept(
        kept().task, kept().signed, "", NOW, cancelled=NOW + HOUR, cancelled_by="an operator"
    )
    found = lines(cancelled, [run("mx1", "done")], ["mx1", "mx2"], now=NOW + 9 * DAY)
    assert [line.state.value for line in found] == ["done", "cancelled"]
    early = lines(cancelled, [], ["mx1"], now=NOW + 2 * HOUR)
    assert [line.state.value for line in early] == ["cancelled"]


def test_the_turnout_of_a_task_that_comes_again_is_that_of_its_newest_time() -> None:
    again = kept(cron="0 * * * *", window_seconds=7200, ends=NOW + 30 * DAY)
    runs = [run("mx1", "done"), run("mx1", due=NOW + HOUR)]
    (line,) = lines(again, runs, ["mx1"], now=NOW + HOUR)
    assert (line.due, line.state.value) == (NOW + HOUR, "handed out")


def told(*given: Kept, runs: list[Run], now: datetime) -> list[tuple[str, str]]:
    found = news(given, runs, ["mx1", "mx2"], now=now)
    return [(one.task.id[-1], line.state.value) for one in found for line in one.lines]


def test_what_went_wrong_is_news_until_the_same_is_done_later() -> None:
    hosts = ("mx1",)
    first = kept(1, hosts=hosts)
    later = kept(2, hosts=hosts, at=NOW + HOUR)
    other = kept(3, hosts=hosts, at=NOW + HOUR, kind="verify")
    part = kept(4, hosts=hosts, at=NOW + HOUR, engine="clamd")
    failed, soon = run("mx1", "failed"), NOW + 2 * HOUR

    def done(number: int) -> Run:
        return dataclasses.replace(run("mx1", "done", NOW + HOUR), task=f"{number:016x}")

    assert told(first, runs=[failed], now=soon) == [("1", "failed")]
    assert told(first, later, runs=[failed, done(2)], now=soon) == [("2", "done")]
    for number, one in ((3, other), (4, part)):  # something else, or less
        found = told(first, one, runs=[failed, done(number)], now=soon)
        assert found == [("1", "failed"), (str(number), "done")]


def test_a_task_is_news_for_a_while_unless_it_is_cancelled_and_of_known_hosts_only() -> None:
    runs = [run("mx1", "failed"), run("mx9", "failed")]
    of_a_day = kept(1, hosts=("mx1", "mx9"))
    assert told(of_a_day, runs=runs, now=NOW - HOUR) == []
    assert told(of_a_day, runs=runs, now=NOW + DAY + NEWS) == [("1", "failed")]
    assert told(of_a_day, runs=runs, now=NOW + DAY + NEWS + HOUR) == []
    cancelled = dataclasses.replace(of_a_day, cancelled=NOW + HOUR)
    assert told(cancelled, runs=runs, now=NOW + HOUR) == []

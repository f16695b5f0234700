"""What a host does on its site's order: what was signed, by its own rules, in time, and once."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import LimitError, LockedError, StateError
from keys.model.release import encode
from keys.model.report import MAX_TASKS, TaskTold
from keys.model.task import Handed, SignedTask
from tests.tasking import DAY, HOUR, NOW, Scene, elsewhere, task
from updater.integrity import Finding
from updater.place import HostPlace
from updater.report import RunReport
from updater.settings import RepositorySettings, Settings, TaskSettings
from updater.taskbook import MAX_REMEMBERED, Begun, Book, TaskBook
from updater.tasks.rules import SKEW, Rules
from updater.tasks.work import Worker
from updater.turn import Turn

ALL = ("update", "prove", "verify", "rollback", "report")


@dataclass
class RecordingHost:
    """A host that only remembers what it did; ``during`` happens in the middle."""

    place: HostPlace
    done: list[str] = field(default_factory=list)
    during: Callable[[], None] = lambda: None

    def turns(self, only: str) -> Sequence[Turn]:
        self.during()
        self.done.append(f"turns {only}".rstrip())
        return []

    def run(self, only: str) -> RunReport:
        self.during()
        self.done.append(f"run {only}".rstrip())
        return RunReport(at=NOW, exit_code=0)

    def metadata_findings(self) -> Sequence[Finding]:
        return []


@dataclass
class Host:
    """One host with its trusted copy; ``work`` is one contact."""

    scene: Scene
    accept: tuple[str, ...] = ALL
    name: str = "mx1"
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.place = HostPlace(self.scene.state)
        self.able = RecordingHost(self.place)
        self.place.prepare()

    @property
    def settings(self) -> Settings:
        return Settings(
            mirrors=(),
            state=str(self.scene.state),
            repository=(RepositorySettings(name="site", root=""),),
            tasks=msgspec.convert({"accept": self.accept}, TaskSettings),
        )

    def work(self, *handed: bytes, refreshed: bool = True) -> list[TaskTold]:
        worker = Worker(self.settings, self.name, lambda: self.able, lambda: self.now)
        return worker.work(handed, refreshed=refreshed)

    def tell(self) -> None:
        """Take down what is to be told, as a report does."""
        self.place.tasks.forget(self.place.tasks.answers())

    def outcomes(self, *handed: bytes, refreshed: bool = True) -> list[str]:
        return [told.outcome for told in self.work(*handed, refreshed=refreshed)]


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene.made(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def host(founded: Scene, tmp_path: Path) -> Host:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/trust").symlink_to(founded.state / "trust")
    return Host(dataclasses.replace(founded, state=tmp_path / "state"))


def test_a_task_is_done_and_told(host: Host) -> None:
    (told,) = host.work(host.scene.handed(task(kind="update", engine="")))
    assert host.able.done == ["run"]
    assert (told.task, told.due, told.outcome) == (task().id, NOW, "done")
    assert list(host.place.tasks.answers().values()) == [told]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hosts": ("mx2", "web*")}, "not for mx1"),
        ({"kind": "format-disk"}, "unknown to this sigupdate"),
        ({"kind": "rollback"}, "tasks.accept"),
        ({"engine": "clamd"}, "no engine 'clamd'"),
        ({"at": NOW - DAY, "ends": NOW - HOUR, "window_seconds": 60}, "expired"),
        ({"at": NOW + HOUR}, "ahead of this host's clock"),
        ({"cron": "not a time at all"}, "not a cron expression"),
        ({"cron": "0 3 * * *"}, "not due at"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_task_that_is_not_for_this_host_kind_or_time_is_refused_by_name(
    host: Host, change: dict[str, object], reason: str
) -> None:
    host.accept = ("update", "prove", "verify", "report")
    (told,) = host.work(host.scene.handed(task(**change)))
    assert told.outcome == "refused"
    assert reason in told.detail
    assert host.able.done == []
    assert host.place.tasks.read() == Book()


def test_a_forged_task_starts_nothing_and_is_told(host: Host, tmp_path: Path) -> None:
    other = elsewhere(host.scene, tmp_path / "other").handed(task())
    forged = encode(Handed(task=host.scene.signed_by("snapshot", task()), due=NOW))
    unsigned = encode(
        Handed(task=SignedTask(payload=encode(task()).decode(), signatures={}), due=NOW)
    )
    later = host.scene.handed(task(schema=2))
    for data in (other, forged, unsigned, later, b"{}", b"null"):
        (told,) = host.work(data)
        assert (told.outcome, told.exit_code) == ("refused", 3)
        host.tell()
    assert host.able.done == []
    assert host.outcomes(host.scene.handed(task())) == ["done"]  # and stands in no way


def test_a_replayed_task_is_refused(host: Host) -> None:
    handed = host.scene.handed(task())
    assert host.outcomes(handed) == ["done"]
    assert host.work(handed) == []  # the outcome waits to be told
    host.tell()
    (told,) = host.work(handed)
    assert (told.outcome, told.detail) == ("refused", "it was begun before, and is begun once")
    assert host.able.done == ["turns"]


def test_a_task_is_replayed_neither_by_an_earlier_time_nor_by_a_clock_set_back(host: Host) -> None:
    again = task(cron="0 * * * *", ends=NOW + 2 * DAY)
    host.now = NOW + 3 * HOUR
    assert host.outcomes(host.scene.handed(again, NOW + 2 * HOUR)) == ["done"]
    assert host.outcomes(host.scene.handed(again, NOW + HOUR)) == ["refused"]
    assert host.outcomes(host.scene.handed(again, NOW + 3 * HOUR)) == ["done"]
    short = task(id="f" * 16, at=NOW - HOUR, window_seconds=60)
    host.now = NOW - HOUR  # the trusted copy was signed later than that
    (told,) = host.work(host.scene.handed(short))
    assert "expired" in told.detail


@pytest.mark.parametrize("due", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("cron", ["", "0 3 * * *"])
def test_a_time_no_clock_shows_is_refused(host: Host, due: str, cron: str) -> None:
    signed = host.scene.sign(task(cron=cron, tz="America/New_York", ends=NOW + 9 * DAY))
    handed = encode(Handed(task=signed, due=datetime.fromisoformat(due)))
    assert host.outcomes(handed) == ["refused"]


def test_the_mirrors_clock_may_be_a_little_ahead(host: Host) -> None:
    host.now = NOW - SKEW + timedelta(seconds=1)
    rules = Rules("mx1", ALL, [])
    assert rules.objection(task(), NOW, now=host.now) == ""
    assert rules.objection(task(), NOW, now=NOW - SKEW - timedelta(seconds=1))


def test_a_rollback_of_several_engines_names_one() -> None:
    rules = Rules("mx1", ALL, ["clamd", "yara"])
    assert "several engines" in rules.objection(task(kind="rollback"), NOW, now=NOW)
    assert rules.objection(task(kind="rollback", engine="yara"), NOW, now=NOW) == ""


def test_keys_that_came_since_are_waited_for_until_the_next_run(host: Host) -> None:
    handed = encode(Handed(task=host.scene.signed_by("snapshot", task()), due=NOW))
    assert host.work(handed, refreshed=False) == []
    assert host.place.tasks.answers() == {}
    assert host.outcomes(handed) == ["refused"]


def test_by_metadata_that_has_expired_nothing_is_done(host: Host) -> None:
    host.now = NOW + 4 * DAY
    late = task(at=host.now, ends=host.now + DAY)
    (told,) = host.work(host.scene.handed(late))
    assert "expired" in told.detail
    assert host.able.done == []


class KilledError(BaseException):
    """Stands for a kill -9 at this point."""


def test_a_task_that_was_killed_in_the_middle_is_told_as_interrupted_and_never_done_twice(
    host: Host,
) -> None:
    def die() -> None:
        raise KilledError

    handed = host.scene.handed(task(kind="update"))
    host.able.during = die
    with pytest.raises(KilledError):
        host.work(handed)
    assert host.place.tasks.answers() == {}
    host.able.during = lambda: None
    assert host.outcomes(handed) == ["interrupted"]
    assert host.able.done == []
    assert host.work() == []


def test_what_the_disk_does_not_take_down_is_not_begun(host: Host) -> None:
    handed = host.scene.handed(task())
    (host.scene.state / "tasks").mkdir()
    (host.scene.state / "tasks/begun.json").write_text("damaged")
    with pytest.raises(StateError):
        host.work(handed)
    assert host.able.done == []


def test_while_a_run_or_another_process_is_at_work_nothing_is_begun(host: Host) -> None:
    handed = host.scene.handed(task())
    with host.place.lock():
        assert host.work(handed) == []
    with host.place.tasks.lock():
        assert host.work(handed) == []
        with pytest.raises(LockedError), TaskBook(host.scene.state / "tasks").lock():
            pass
    assert host.outcomes(handed) == ["done"]


def test_an_error_of_a_deed_is_its_outcome(host: Host) -> None:
    def fail() -> None:
        raise StateError("the disk is gone")

    host.able.during = fail
    (told,) = host.work(host.scene.handed(task()))
    assert (told.outcome, told.exit_code, told.detail) == ("failed", 1, "the disk is gone")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=40))
def test_no_time_of_a_task_is_begun_twice_and_none_is_remembered_longer_than_it_counts(
    asked: list[tuple[str, int]],
) -> None:
    book, begun, now = Book(), set[tuple[str, datetime]](), NOW
    for named, hours in asked:
        due, now = NOW + hours * HOUR, max(now, NOW + hours * HOUR)
        until = due + 5 * HOUR
        if now >= until or book.knows(named, due):
            continue
        assert (named, due) not in begun
        begun.add((named, due))
        book = book.beginning(Begun(named, due, until), now)
    assert all(now - one.until < 24 * HOUR for one in book.begun)


def test_as_many_tasks_are_remembered_as_a_limit_says() -> None:
    book = Book()
    for number in range(MAX_REMEMBERED):
        book = book.beginning(Begun(f"{number}", NOW, NOW + DAY), NOW)
    with pytest.raises(LimitError, match="MAX_REMEMBERED"):
        book.beginning(Begun("one more", NOW, NOW + DAY), NOW)
    assert len(book.beginning(Begun("later", NOW, NOW + 9 * DAY), NOW + 2 * DAY).begun) == 1


def test_a_report_tells_as_much_as_fits_and_damaged_answers_are_dropped(tmp_path: Path) -> None:
    book = TaskBook(tmp_path / "tasks")
    with book.lock():
        for number in range(MAX_TASKS + 1):
            book.answer(TaskTold(task=f"{number}", due=NOW, outcome="done", at=NOW))
        next((tmp_path / "tasks/told").glob("*.json")).write_text("damaged")
    first = book.answers()
    assert len(first) <= MAX_TASKS
    book.forget(first)
    assert len(book.answers()) == MAX_TASKS - len(first)

"""What is open follows from facts alone, and each way is told each thing as often as it wants."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from keys.errors import LicenceError
from keys.model.licence import Kind, Licence
from keys.model.standing import state_at
from mirror.fleet.health import Health, Line
from mirror.fleet.roster import EngineRow
from mirror.fleet.turnout import Line as TaskLine
from mirror.fleet.turnout import State, Turnout
from mirror.notices.book import RETRY_AT_MOST, Failure, Way
from mirror.notices.notice import Notice
from mirror.notices.opening import Facts, open_notices, unknown
from mirror.notices.planning import SETTLED, Plan, plan
from mirror.notices.rhythm import silent_since
from mirror.notify_rules import Kind as NoticeKind
from mirror.notify_rules import NotifySettings, problems
from mirror.pulls import Failure as PullFailure
from mirror.status import Channel, RepositoryStatus, Role, Status
from mirror.upstream_status import HeldStatus, UpstreamStatus
from tests.tasking import task

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
RULE = NotifySettings(name="ops", command=("true",))


def status(
    *, upstreams: list[UpstreamStatus] | None = None, roles: dict[str, timedelta] | None = None
) -> Status:
    found = [Role(name, 1, NOW + left, left / DAY) for name, left in (roles or {}).items()]
    return Status(NOW, [RepositoryStatus("site", found)], upstreams or [], [], [])


def opened(facts: Facts) -> list[tuple[str, str, str]]:
    return [(one.kind, one.key, one.turn) for one in open_notices(facts)]


# -- licences -------------------------------------------------------------------------------------


def licence_notice(now: datetime) -> Notice | None:
    licence = Licence(
        id="x", serial="x", kind=Kind.feed, product="", organisation="", seats=1,
        starts_on=NOW.date(), ends_on=(NOW + 100 * DAY).date(), tz="Asia/Tokyo", sequence=1,
        issued_at=NOW,
    )  # fmt: skip
    facts = Facts(now, status(), {"av": state_at([licence], now)})
    return next(iter(open_notices(facts)), None)


def test_a_licence_is_told_on_each_warn_day_and_then_daily_until_it_lapses() -> None:
    told: list[tuple[int, str]] = []
    way = Way()
    for day in range(200):
        now = NOW + day * DAY
        notice = licence_notice(now)
        planned = plan([notice] if notice else [], way, RULE, now=now)
        way = Way(dict(planned.sent))
        told += [(100 - day, one.notice.kind) for one in planned.sayings]
    warned = [(left, "licence-ending") for left in (60, 30, 20, 7, 1)]
    daily = [(-left, "licence-renewal-window") for left in range(1, 90)]
    assert told == [*warned, *daily, (-90, "licence-ending")]


def test_a_mirror_that_was_off_on_a_warn_day_tells_it_when_it_is_back() -> None:
    notice = licence_notice(NOW + 75 * DAY)
    assert notice
    assert notice.turn.endswith(" 30")
    assert "25 days left" in notice.title


def test_a_licence_that_cannot_be_read_is_left_to_the_status() -> None:
    assert open_notices(Facts(NOW, status(), {"av": LicenceError("forged")})) == []


# -- upstreams ------------------------------------------------------------------------------------


def test_a_rejected_credential_and_a_held_release_are_told() -> None:
    failure = PullFailure(NOW, "CredentialError", "HTTP 401", "", 4)
    held = HeldStatus("clamav", "r2", "v2", NOW, 12, "12 % of the bytes")
    upstreams = [
        UpstreamStatus("paid", "http", "stopped", failure=failure),
        UpstreamStatus("official", "clamav", "held", held=(held,)),
    ]
    assert opened(Facts(NOW, status(upstreams=upstreams))) == [
        ("credential-rejected", "credential/paid", ""),
        ("release-held", "held/official/clamav", "v2"),
    ]


@pytest.mark.parametrize(("hours", "silent"), [(23, False), (25, True)])
def test_an_upstream_whose_pulls_fail_for_a_day_is_silent(hours: int, silent: bool) -> None:
    failure = PullFailure(NOW, "FetchError", "no connection", "", 1)
    upstream = UpstreamStatus(
        "paid", "http", "failed", last_success=NOW - hours * HOUR, failure=failure
    )
    found = opened(Facts(NOW, status(upstreams=[upstream])))
    assert found == ([("upstream-silent", "silent/paid", "")] if silent else [])


@pytest.mark.parametrize(
    ("pauses", "since", "silent"),
    [
        ([4, 4, 4, 4], 23, False),  # never within a day
        ([4, 4, 4, 4], 25, True),
        ([24, 24, 72, 24, 24], 140, False),  # a weekend is usual
        ([24, 24, 72, 24, 24], 145, True),
        ([4, 4, 4], 900, False),  # too few to know
        ([], 900, False),
    ],
)
def test_a_rhythm_is_twice_the_longest_pause_so_far(
    pauses: list[int], since: int, silent: bool
) -> None:
    changes = [NOW - since * HOUR]
    for pause in pauses:
        changes.append(changes[-1] - pause * HOUR)
    assert (silent_since(changes, NOW) is not None) is silent
    upstream = UpstreamStatus("feed", "http", "ok", last_success=NOW)
    facts = Facts(NOW, status(upstreams=[upstream]), changes={"feed": changes})
    assert bool(opened(facts)) is silent


# -- roles and hosts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "left", "told"),
    [
        ("root", 31 * DAY, False),
        ("root", 29 * DAY, True),
        ("timestamp", 10 * HOUR, False),
        ("timestamp", 8 * HOUR, True),
        ("clamav", 4 * DAY, False),
        ("clamav", 3 * DAY, True),
    ],
)
def test_a_role_is_told_when_its_signing_is_overdue(role: str, left: timedelta, told: bool) -> None:
    validity = {"": 30 * DAY, "timestamp": 3 * DAY, "snapshot": 7 * DAY}
    facts = Facts(NOW, status(roles={role: left}), validity=validity)
    assert opened(facts) == ([("role-expiring", f"role/site/{role}", "")] if told else [])


def line(health: Health, track: str = "stable", host: str = "mx1") -> Line:
    engine = EngineRow(
        "clamd", "clamd", "", track, "installed", "failed", None, "no answer", 1, None, "", "", ""
    )
    return Line(host, health, engine, (), NOW, "")


@pytest.mark.parametrize(
    ("health", "track", "kind"),
    [
        (Health.ok, "stable", None),
        (Health.silent, "stable", "host-stale"),
        (Health.stale, "canary", "host-stale"),
        (Health.unproven, "canary", "host-unproven"),
        (Health.rolled_back, "stable", "host-unproven"),
        (Health.rolled_back, "canary", "canary-failed"),
    ],
)
def test_a_host_is_told_by_its_health(health: Health, track: str, kind: str | None) -> None:
    found = open_notices(Facts(NOW, status(), hosts=[line(health, track)]))
    assert [one.kind for one in found] == ([kind] if kind else [])


def test_a_silent_host_with_two_engines_is_told_once() -> None:
    facts = Facts(NOW, status(), hosts=[line(Health.silent), line(Health.silent)])
    assert len(open_notices(facts)) == 1


def test_a_mirror_that_was_handed_over_tells_no_more_of_roles_and_silence() -> None:
    role = Role("timestamp", 1, NOW + HOUR, HOUR / DAY)
    site = RepositoryStatus("site", [role], handed_over="elsewhere")
    failure = PullFailure(NOW, "HandedOverError", "handed over", "", 2)
    upstream = UpstreamStatus("paid", "http", "failed", last_success=NOW - 2 * DAY, failure=failure)
    found = Status(NOW, [site], [upstream], [], [])
    hosts = [line(Health.silent), line(Health.unproven, host="mx2")]
    facts = Facts(NOW, found, hosts=hosts, validity={"timestamp": 3 * DAY})
    assert opened(facts) == [("host-unproven", "unproven/mx2/clamd", "")]


def turnout(*lines: TaskLine) -> Turnout:
    return Turnout(task(at=NOW, ends=NOW + DAY), lines)


@pytest.mark.parametrize(
    ("state", "health", "told"),
    [
        (State.waiting, Health.ok, False),
        (State.handed, Health.ok, False),
        (State.done, Health.unproven, False),
        (State.failed, Health.ok, True),
        (State.refused, Health.ok, True),
        (State.interrupted, Health.silent, True),
        (State.missed, Health.ok, True),
        (State.missed, Health.silent, False),  # it is told of as silent
        (State.failed, None, False),  # a host that was removed
    ],
)
def test_a_task_is_told_by_what_came_of_it(state: State, health: Health | None, told: bool) -> None:
    hosts = [line(health)] if health else []
    facts = Facts(NOW, status(), hosts=hosts, tasks=[turnout(TaskLine("mx1", NOW, state))])
    found = [one for one in open_notices(facts) if one.kind == "task-failed"]
    assert [(one.key, one.turn) for one in found] == (
        [("task/0123456789abcdef/mx1", NOW.isoformat())] if told else []
    )


# -- who is told ----------------------------------------------------------------------------------

HELD = Notice("release-held", "held/x", "held")


def words(planned: Plan) -> list[str]:
    return [one.word.value for one in planned.sayings]


def told(*notices: Notice, at: datetime = NOW) -> Way:
    return Way(dict(plan(notices, Way(), RULE, now=at).sent))


def test_a_notice_is_told_once_then_again_after_its_hours_then_as_resolved() -> None:
    assert words(plan([HELD], Way(), RULE, now=NOW)) == ["new"]
    way = told(HELD)
    assert words(plan([HELD], way, RULE, now=NOW + 23 * HOUR)) == []
    assert words(plan([HELD], way, RULE, now=NOW + 24 * HOUR)) == ["still"]
    over = plan([], way, RULE, now=NOW + HOUR)
    assert words(over) == ["resolved"]
    assert over.sent == {}
    assert words(plan([], Way(dict(over.sent)), RULE, now=NOW + 2 * HOUR)) == []


def test_without_repeat_hours_a_notice_is_told_once() -> None:
    rule = NotifySettings(name="ops", command=("true",), repeat_hours=0)
    assert words(plan([HELD], told(HELD), rule, now=NOW + 400 * DAY)) == []


def test_another_turn_is_told_at_once() -> None:
    again = Notice("release-held", "held/x", "held", turn="v3")
    assert words(plan([again], told(HELD), RULE, now=NOW + HOUR)) == ["still"]


def test_a_rule_is_told_its_own_kinds_only() -> None:
    rule = NotifySettings(name="ops", command=("true",), on=("role-expiring",))
    assert words(plan([HELD], Way(), rule, now=NOW)) == []


def test_a_matter_that_became_another_kind_is_not_told_as_resolved() -> None:
    rule = NotifySettings(name="ops", command=("true",), on=("licence-ending",))
    ending = Notice("licence-ending", "licence/av", "ends", repeats=False)
    way = Way(dict(plan([ending], Way(), rule, now=NOW).sent))
    ended = Notice("licence-renewal-window", "licence/av", "ended", repeats=False)
    planned = plan([ended], way, rule, now=NOW + DAY)
    assert words(planned) == []
    assert words(plan([], Way(dict(planned.sent)), rule, now=NOW + 2 * DAY)) == ["resolved"]


def test_a_host_that_flaps_is_told_once() -> None:
    unproven = Notice("host-unproven", "unproven/mx1", "mx1 is unproven")
    way, said = Way(), list[str]()
    for minute in range(0, 240, 5):
        now = NOW + timedelta(minutes=minute)
        planned = plan([unproven] if minute % 10 else [], way, RULE, now=now)
        way, said = Way(dict(planned.sent)), said + words(planned)
    assert said == ["new"]
    gone = plan([], way, RULE, now=NOW + 5 * HOUR)
    assert words(gone) == []
    later = NOW + 5 * HOUR + SETTLED
    assert words(plan([], Way(dict(gone.sent)), RULE, now=later)) == ["resolved"]


@pytest.mark.parametrize(
    ("quiet", "tz", "at", "expected"),
    [
        ("", "UTC", "12:00", False),
        ("22:00-06:00", "UTC", "23:00", True),
        ("22:00-06:00", "UTC", "05:59", True),
        ("22:00-06:00", "UTC", "06:00", False),
        ("22:00-06:00", "Asia/Tokyo", "14:00", True),
        ("12:00-13:00", "UTC", "12:30", True),
        ("12:00-13:00", "UTC", "13:00", False),
    ],
)
def test_quiet_hours_are_the_rules_own(quiet: str, tz: str, at: str, expected: bool) -> None:
    rule = NotifySettings(name="ops", command=("true",), quiet=quiet, tz=tz)
    assert rule.is_quiet(datetime.fromisoformat(f"2026-03-01T{at}:00+00:00")) is expected


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (NotifySettings(name="Ops", command=("x",)), "name"),
        (NotifySettings(name="ops"), "either"),
        (NotifySettings(name="ops", command=("x",), urls=("json://x",)), "either"),
        (NotifySettings(name="ops", urls=("s3cr3t",)), "scheme"),
        (NotifySettings(name="ops", command=("x",), quiet="22-6"), "quiet"),
        (NotifySettings(name="ops", command=("x",), quiet="22:00-25:00"), "quiet"),
        (NotifySettings(name="ops", command=("x",), tz="Mars/Base"), "tz"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_named(rule: NotifySettings, problem: str) -> None:
    assert any(problem in found for found in problems(rule))


def test_a_rule_wants_every_kind_unless_it_says_otherwise() -> None:
    assert all(RULE.wants(kind) for kind in get_args(NoticeKind))
    assert list(problems(RULE)) == []


def test_a_way_that_fails_is_tried_less_and_less_often() -> None:
    failure, waits, now = None, [], NOW
    for _ in range(10):
        failure = Failure.after(failure, "down", now=now)
        waits.append(failure.next_try - now)
        now = failure.next_try
    assert waits == sorted(waits)
    assert waits[0] < waits[1]
    assert waits[-1] == RETRY_AT_MOST
    assert failure
    assert (failure.since, failure.times) == (NOW, 10)


def test_what_nobody_can_tell_now_is_not_told_as_resolved() -> None:
    stale = Notice("host-stale", "stale/mx1", "mx1 is silent")
    blind = Facts(NOW, status(), {"av": LicenceError("unreadable")}, hosts=None)
    assert unknown(blind) == ("licence/av", "stale/", "canary/", "unproven/", "task/")
    later = NOW + SETTLED
    planned = plan([], told(stale), RULE, now=later, unknown=unknown(blind))
    assert words(planned) == []
    again = Way(dict(planned.sent))
    gone = plan([], again, RULE, now=later, unknown=unknown(Facts(NOW, status())))
    assert gone.sent["stale/mx1"].gone == later


def test_what_nobody_can_tell_now_is_not_opened_either() -> None:
    stale = Notice("host-stale", "stale/mx1", "mx1 is silent")
    assert words(plan([stale], Way(), RULE, now=NOW, unknown=("stale/",))) == []
    again = plan([stale], told(stale), RULE, now=NOW + 25 * HOUR, unknown=("stale/",))
    assert words(again) == ["still"]


def test_a_channel_that_is_held_is_told() -> None:
    channel = Channel("clamav", {}, [], held="false positives")
    found = Status(NOW, [RepositoryStatus("site", [], [channel])], [], [], [])
    assert opened(Facts(NOW, found)) == [("release-held", "held/channel/clamav", "")]

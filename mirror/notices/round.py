"""One round: what is open, who is to be told, and what became of telling them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from keys.errors import Error, SettingsError
from mirror.fleet.records import RecordFile
from mirror.notices.book import Book, Failure, Way
from mirror.notices.notice import Notice
from mirror.notices.planning import Saying, plan
from mirror.notices.ways import Sender, open_ways
from mirror.notify_rules import NotifySettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way was told, or would be; ``waits`` says why it was not, ``error`` what failed."""

    way: str
    sayings: tuple[Saying, ...]
    waits: str = ""
    error: str = ""


def book_file(folder: Path) -> RecordFile[Book]:
    """Open the record of who was told what."""
    return RecordFile(folder / "state" / "notices.json", Book)


def tell(
    notices: Sequence[Notice], rules: Sequence[NotifySettings], file: RecordFile[Book], *,
    now: datetime, by_hand: bool = False,
) -> list[Outcome]:  # fmt: skip
    """Tell every way what it should know; one that fails holds up no other.

    By hand a way that failed is tried at once. Ways that are in no rule any more are forgotten.

    Raises:
        LockedError: another round is under way.
        StateError: what was told cannot be read or kept.

    """
    with file.changing() as book:
        outcomes, ways = list[Outcome](), dict[str, Way]()
        for rule in rules:
            for outcome, way in _rule(rule, notices, book, now, by_hand=by_hand):
                outcomes.append(outcome)
                ways[outcome.way] = way
        after = Book(ways)
        if after != book:
            file.write(after)
    return outcomes


def foresee(
    notices: Sequence[Notice], rules: Sequence[NotifySettings], book: Book, *, now: datetime
) -> list[Outcome]:
    """Tell what ``tell`` would tell now, and to whom; tells nobody."""
    found = []
    for rule in rules:
        for sender in _opened(rule):
            if isinstance(sender, SettingsError):
                found.append(Outcome(rule.name, (), error=str(sender)))
                continue
            sayings = plan(notices, book.ways.get(sender.name, Way()), rule, now=now).sayings
            found.append(Outcome(sender.name, sayings, _waits(rule, sayings, now)))
    return found


def troubles(book: Book) -> Iterator[str]:
    """Tell of the ways that do not work."""
    for way in book.ways.values():
        if way.failure:
            since = f"{way.failure.since:%Y-%m-%d %H:%M:%SZ}"
            yield f"{way.failure.reason}, since {since}"


def _rule(
    rule: NotifySettings, notices: Sequence[Notice], book: Book, now: datetime, *, by_hand: bool
) -> Iterator[tuple[Outcome, Way]]:
    for sender in _opened(rule):
        if isinstance(sender, SettingsError):
            before = book.ways.get(rule.name, Way())
            failure = Failure.after(before.failure, str(sender), now=now)
            kept = {name: way for name, way in book.ways.items() if _is_of(name, rule)}
            yield Outcome(rule.name, (), error=str(sender)), Way(failure=failure)
            yield from ((Outcome(name, (), waits="closed"), way) for name, way in kept.items())
        else:
            yield _way(sender, rule, notices, book.ways.get(sender.name, Way()), now, by_hand)


def _is_of(way: str, rule: NotifySettings) -> bool:
    return way.startswith(f"{rule.name}/")


def _opened(rule: NotifySettings) -> Sequence[Sender | SettingsError]:
    try:
        return open_ways(rule)
    except SettingsError as exc:
        return (exc,)


def _way(
    sender: Sender, rule: NotifySettings, notices: Sequence[Notice], way: Way, now: datetime,
    by_hand: bool,
) -> tuple[Outcome, Way]:  # fmt: skip
    planned = plan(notices, way, rule, now=now)
    waits = _waits(rule, planned.sayings, now)
    if not waits and planned.sayings and not (by_hand or way.is_due(now)):
        waits = "failed before, is tried again later"
    if waits or not planned.sayings:
        told = dict(planned.kept if planned.sayings else planned.sent)
        return Outcome(sender.name, planned.sayings, waits), Way(told, way.failure)
    try:
        sender.send(planned.sayings, at=now)
    except Error as exc:
        failure = Failure.after(way.failure, str(exc), now=now)
        structlog.get_logger().error("notify-failed", way=sender.name, cause=str(exc))
        outcome = Outcome(sender.name, planned.sayings, error=str(exc))
        return outcome, Way(dict(planned.kept), failure)
    structlog.get_logger().info("notified", way=sender.name, notices=len(planned.sayings))
    return Outcome(sender.name, planned.sayings), Way(dict(planned.sent))


def _waits(rule: NotifySettings, sayings: Sequence[Saying], now: datetime) -> str:
    return f"quiet ({rule.quiet} {rule.tz})" if sayings and rule.is_quiet(now) else ""

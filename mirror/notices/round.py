"""One round: who is to be told what, and what became of telling them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from keys.errors import Error, SettingsError
from keys.model.instant import utc
from mirror.fleet.records import RecordFile
from mirror.notices.book import Book, Failure, Way
from mirror.notices.notice import Notice
from mirror.notices.planning import Plan, Saying, Word, plan
from mirror.notices.ways import Sender, open_ways
from mirror.notify_rules import NotifySettings

TEST = Notice("upstream-silent", "test", "this is a test", "nothing is wrong")
_NOBODY = Way()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way was told, or would be; ``waits`` says why it was not, ``error`` what failed."""

    way: str
    sayings: tuple[Saying, ...] = ()
    waits: str = ""
    error: str = ""


def book_file(folder: Path) -> RecordFile[Book]:
    """Open the record of who was told what."""
    return RecordFile(folder / "state" / "notices.json", Book)


def troubles(book: Book) -> Iterator[str]:
    """Tell of the ways that do not work."""
    for way in book.ways.values():
        if way.failure:
            yield f"{way.failure.reason}, since {utc(way.failure.since)}"


@dataclass(frozen=True, slots=True)
class Round:
    """What is open ``now``, to be told by ``rules``; ``unknown`` as of ``plan``."""

    rules: Sequence[NotifySettings]
    notices: Sequence[Notice]
    now: datetime
    unknown: tuple[str, ...] = ()

    def tell(self, file: RecordFile[Book], *, by_hand: bool = False) -> list[Outcome]:
        """Tell every way what it should know; one that fails holds up no other.

        By hand a way that failed is tried at once. What was told is kept after each way; ways
        that are in no rule any more are forgotten.

        Raises:
            LockedError: another round is under way.
            StateError: what was told cannot be read or kept.

        """
        outcomes, found = list[Outcome](), dict[str, Way]()
        with file.changing() as book:
            last = book
            for rule in self.rules:
                for outcome, ways in self._rule(rule, book, by_hand=by_hand):
                    outcomes.append(outcome)
                    found |= ways
                    last = _keep(file, last, Book({**book.ways, **found}))
            _keep(file, last, Book(found))
        return outcomes

    def foresee(self, book: Book) -> list[Outcome]:
        """Say what ``tell`` would tell by hand, and to whom; tells nobody."""
        return [
            self._closed(rule, sender)
            if isinstance(sender, SettingsError)
            else self._planned(rule, sender, book)[0]
            for rule in self.rules
            for sender in _opened(rule)
        ]

    def try_out(self, file: RecordFile[Book]) -> list[Outcome]:
        """Send every way a message that says it is a test; one that works has failed no more.

        Raises:
            LockedError, StateError: as ``tell``.

        """
        outcomes, sayings = list[Outcome](), (Saying(Word.opened, TEST, self.now),)
        with file.changing() as book:
            ways = dict(book.ways)
            for rule in self.rules:
                for sender in _opened(rule):
                    if isinstance(sender, SettingsError):
                        outcomes.append(self._closed(rule, sender))
                        continue
                    way = ways.get(sender.name, _NOBODY)
                    outcome, failure = self._sent(sender, sayings, way)
                    outcomes.append(outcome)
                    ways[sender.name] = Way(way.told, failure)
            _keep(file, book, Book(ways))
        return outcomes

    def _rule(
        self, rule: NotifySettings, book: Book, *, by_hand: bool
    ) -> Iterator[tuple[Outcome, Mapping[str, Way]]]:
        for sender in _opened(rule):
            if isinstance(sender, SettingsError):
                before = book.ways.get(rule.name, _NOBODY).failure
                failure = Failure.after(before, str(sender), now=self.now)
                own = {name: way for name, way in book.ways.items() if _is_of(name, rule)}
                yield self._closed(rule, sender), own | {rule.name: Way(failure=failure)}
            else:
                outcome, way = self._way(rule, sender, book, by_hand=by_hand)
                yield outcome, {sender.name: way}

    def _way(
        self, rule: NotifySettings, sender: Sender, book: Book, *, by_hand: bool
    ) -> tuple[Outcome, Way]:
        way = book.ways.get(sender.name, _NOBODY)
        outcome, planned = self._planned(rule, sender, book)
        if not planned.sayings:
            return outcome, Way(dict(planned.sent), way.failure)
        if outcome.waits:
            return outcome, Way(dict(planned.kept), way.failure)
        if not (by_hand or way.is_due(self.now)):
            later = Outcome(sender.name, planned.sayings, "failed before, is tried again later")
            return later, Way(dict(planned.kept), way.failure)
        outcome, failure = self._sent(sender, planned.sayings, way)
        return outcome, Way(dict(planned.kept if failure else planned.sent), failure)

    def _planned(self, rule: NotifySettings, sender: Sender, book: Book) -> tuple[Outcome, Plan]:
        way = book.ways.get(sender.name, _NOBODY)
        planned = plan(self.notices, way, rule, now=self.now, unknown=self.unknown)
        is_quiet = planned.sayings and rule.is_quiet(self.now)
        waits = f"quiet ({rule.quiet} {rule.tz})" if is_quiet else ""
        return Outcome(sender.name, planned.sayings, waits), planned

    def _sent(
        self, sender: Sender, sayings: tuple[Saying, ...], way: Way
    ) -> tuple[Outcome, Failure | None]:
        """Send, and tell what became of it."""
        try:
            sender.send(sayings, at=self.now)
        except Error as exc:
            failure = Failure.after(way.failure, str(exc), now=self.now)
            return Outcome(sender.name, sayings, error=str(exc)), failure
        return Outcome(sender.name, sayings), None

    def _closed(self, rule: NotifySettings, error: SettingsError) -> Outcome:
        return Outcome(rule.name, error=str(error))


def _keep(file: RecordFile[Book], before: Book, after: Book) -> Book:
    if after != before:
        file.write(after)
    return after


def _is_of(way: str, rule: NotifySettings) -> bool:
    return way.startswith(f"{rule.name}/")


def _opened(rule: NotifySettings) -> Sequence[Sender | SettingsError]:
    try:
        return open_ways(rule)
    except SettingsError as exc:
        return (exc,)

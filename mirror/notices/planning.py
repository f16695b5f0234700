"""What one way is to be told now (pure): what is new, what goes on, what is over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

import msgspec

from mirror.notices.book import MAX_KEPT, Told, Way
from mirror.notices.notice import Notice
from mirror.notify_rules import NotifySettings

FLAPPING = frozenset({"canary-failed", "host-stale", "host-unproven", "task-failed"})
SETTLED = timedelta(minutes=15)  # what flaps is over once it was gone for so long


class Word(Enum):
    """Why a notice is told."""

    opened = "new"
    goes_on = "still"
    resolved = "resolved"


@dataclass(frozen=True, slots=True)
class Saying:
    """One notice in a message."""

    word: Word
    notice: Notice
    since: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, and what the way was told once that was sent; ``kept`` if it was not."""

    sayings: tuple[Saying, ...]
    sent: Mapping[str, Told]
    kept: Mapping[str, Told]


def plan(
    notices: Sequence[Notice], way: Way, rule: NotifySettings, *, now: datetime,
    unknown: tuple[str, ...] = (),
) -> Plan:  # fmt: skip
    """Compare what is open with what a way was told.

    A matter that goes on as another kind than the rule names is not told as resolved. ``unknown``
    is how keys begin of which nobody can tell now: nothing of them is opened, nothing is over.
    """
    wanted = {
        one.key: one
        for one in notices
        if rule.wants(one.kind) and (one.key in way.told or not one.key.startswith(unknown))
    }
    still = {one.key for one in notices}
    draft = _Draft()
    for key, notice in list(wanted.items())[:MAX_KEPT]:
        draft.open(notice, way.told.get(key), rule, now)
    for key, told in way.told.items():
        if key in still or key.startswith(unknown):
            draft.keep(key, told)
        else:
            draft.over(key, told, now)
    return Plan(tuple(draft.sayings), draft.sent, draft.kept)


@dataclass(slots=True)
class _Draft:
    """A plan while it is made."""

    sayings: list[Saying] = field(default_factory=list)
    sent: dict[str, Told] = field(default_factory=dict)
    kept: dict[str, Told] = field(default_factory=dict)

    def open(
        self, notice: Notice, before: Told | None, rule: NotifySettings, now: datetime
    ) -> None:
        """Plan for a notice that the way wants to know of."""
        if saying := _open(notice, before, rule, now):
            self.sayings.append(saying)
            self.sent[notice.key] = Told(notice.kind, notice.title, notice.turn, saying.since, now)

    def keep(self, key: str, told: Told) -> None:
        """Plan for a matter that goes on."""
        self.kept[key] = msgspec.structs.replace(told, gone=None)
        self.sent.setdefault(key, self.kept[key])

    def over(self, key: str, told: Told, now: datetime) -> None:
        """Plan for a matter that is no more; what flaps has to stay so for a while."""
        gone = told.gone or now
        self.kept[key] = msgspec.structs.replace(told, gone=gone)
        if told.kind in FLAPPING and now - gone < SETTLED:
            self.sent[key] = self.kept[key]
        else:
            self.sayings.append(
                Saying(Word.resolved, Notice(told.kind, key, told.title), told.since)
            )


def _open(
    notice: Notice, before: Told | None, rule: NotifySettings, now: datetime
) -> Saying | None:
    if before is None:
        return Saying(Word.opened, notice, now)
    if notice.turn != before.turn:
        return Saying(Word.goes_on, notice, before.since)
    repeat = timedelta(hours=rule.repeat_hours)
    if notice.repeats and repeat and now - before.at >= repeat:
        return Saying(Word.goes_on, notice, before.since)
    return None

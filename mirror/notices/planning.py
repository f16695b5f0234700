"""What one way is to be told now (pure): what is new, what goes on, what is over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

import msgspec

from mirror.notices.book import MAX_KEPT, Told, Way
from mirror.notices.notice import Notice
from mirror.notify_rules import NotifySettings

FLAPPING = frozenset({"host-stale", "host-unproven"})
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


def plan(notices: Sequence[Notice], way: Way, rule: NotifySettings, *, now: datetime) -> Plan:
    """Compare what is open with what a way was told.

    A matter that goes on as another kind than the rule names is not told as resolved.
    """
    wanted = {one.key: one for one in notices if one.kind in rule.on}
    still = {one.key for one in notices}
    sayings: list[Saying] = []
    sent, kept = dict[str, Told](), dict[str, Told]()
    for key, notice in list(wanted.items())[:MAX_KEPT]:
        before = way.told.get(key)
        saying = _open(notice, before, rule, now)
        if saying:
            sayings.append(saying)
            sent[key] = Told(
                notice.kind, notice.title, notice.turn, saying.since, now
            )
        if before:
            kept[key] = msgspec.structs.replace(before, gone=None)
            sent.setdefault(key, kept[key])
    for key, told in way.told.items():
        if key in wanted:
            continue
        if key in still:
            continue
        gone = told.gone or now
        kept[key] = msgspec.structs.replace(told, gone=gone)
        if told.kind in FLAPPING and now - gone < SETTLED:
            sent[key] = kept[key]
        else:
            over = Notice(told.kind, key, told.title)  # type: ignore[arg-type] # a kind once told
            sayings.append(Saying(Word.resolved, over, told.since))
    return Plan(tuple(sayings), sent, kept)


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

"""Where a licence stands on a day: a pure function of the records held and the date.

    pending → active → expiring → renewal_window → lapsed        (suspended at any time)

A renewal imported early is held beside the record it follows; together they give the best state
of both. What a licence covers is bounded by its last day; scanning itself never depends on it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum

from keys.errors import LicenceError
from keys.model.licence import Licence

_ONE_DAY = timedelta(days=1)


class State(Enum):
    """Where a licence stands on one day; see ``docs/terms.md``."""

    pending = "pending"
    active = "active"
    expiring = "expiring"
    renewal_window = "renewal_window"
    lapsed = "lapsed"
    suspended = "suspended"


_BEST_FIRST = (State.active, State.expiring, State.renewal_window, State.pending, State.lapsed)
_IN_FORCE = {State.active, State.expiring}


@dataclass(frozen=True, slots=True)
class LicenceState:
    """What follows from the records held, on one day.

    ``covered_until`` is the last day on which a release must be published for its blobs to be
    covered; None when nothing is. ``days_left`` counts down to 0 on the last day and then below.
    """

    state: State
    licence: Licence
    today: date
    ends_on: date
    covered_until: date | None

    @property
    def may_pull(self) -> bool:
        """Whether definitions and programs may be pulled (metadata always may)."""
        return self.state in _IN_FORCE

    @property
    def may_enrol(self) -> bool:
        """Whether hosts may be enrolled into management."""
        return self.state in _IN_FORCE

    @property
    def days_left(self) -> int:
        """Days until the last covered day."""
        return (self.ends_on - self.today).days

    @property
    def notice_due(self) -> bool:
        """Whether operators are to be told today: on warn days, then daily while renewable."""
        if self.state is State.expiring:
            return self.days_left in self.licence.warn_days
        return self.state is State.renewal_window

    def covers(self, published: datetime) -> bool:
        """Tell whether a release published then is covered."""
        return (
            self.covered_until is not None and self.licence.today(published) <= self.covered_until
        )


def state_on(
    records: Sequence[Licence], today: date, *, suspended_on: date | None = None
) -> LicenceState:
    """Tell where the licences of one organisation stand on a day.

    Of several serials those in force count, with the earliest end; when none is, the best one.

    Raises:
        LicenceError: no record.

    """
    if not records:
        raise LicenceError("no licence is held")
    serials = {record.identity: record for record in records}
    states = [_serial([r for r in records if r.identity == key], today) for key in serials]
    best = _best(states)
    return best if suspended_on is None else suspended(best, suspended_on)


def suspended(state: LicenceState, on: date) -> LicenceState:
    """Return where licences stand once they are suspended on a day, which counts as their end."""
    if on > state.today:
        return state
    until = None if state.covered_until is None else min(state.covered_until, on)
    return LicenceState(State.suspended, state.licence, state.today, min(state.ends_on, on), until)


def state_at(
    records: Sequence[Licence], now: datetime, *, suspended_on: date | None = None
) -> LicenceState:
    """Tell where licences stand at an instant, on the day it is in the newest record's zone.

    Raises:
        LicenceError: no record.

    """
    if not records:
        raise LicenceError("no licence is held")
    newest = max(records, key=lambda record: record.issued_at)
    return state_on(records, newest.today(now), suspended_on=suspended_on)


def reference_time(
    now: datetime, records: Iterable[Licence], seen: datetime | None = None
) -> datetime:
    """Return the clock, but never behind what was signed: setting it back revives nothing.

    ``seen`` is the newest signed time known from elsewhere, such as a repository's timestamp.
    """
    signed = [record.issued_at for record in records]
    return max([now, *signed, *([seen] if seen else [])])


def _best(states: list[LicenceState]) -> LicenceState:
    in_force = [state for state in states if state.state in _IN_FORCE]
    if in_force:
        return min(in_force, key=lambda state: state.ends_on)
    return min(states, key=lambda s: (_BEST_FIRST.index(s.state), -s.ends_on.toordinal()))


def _serial(records: list[Licence], today: date) -> LicenceState:
    """Tell where one serial stands: its newest record that has started, and renewals held."""
    ordered = sorted(records, key=lambda record: record.sequence)
    started = [record for record in ordered if record.starts_on <= today]
    if not started:
        first = min(ordered, key=lambda record: record.starts_on)
        return LicenceState(State.pending, first, today, first.last_day, None)
    current = started[-1]
    last = _follow(current, [r for r in ordered if r.sequence > current.sequence], today)
    state = _state(last, today)
    return LicenceState(state, last, today, last.last_day, current.last_day)


def _follow(current: Licence, renewals: list[Licence], today: date) -> Licence:
    """Return the last record of the unbroken chain that begins with the current one."""
    if today > current.last_day:
        return current
    for renewal in sorted(renewals, key=lambda record: record.starts_on):
        if renewal.starts_on <= current.last_day + _ONE_DAY:
            current = max(current, renewal, key=lambda record: record.last_day)
    return current


def _state(licence: Licence, today: date) -> State:
    days_left = (licence.last_day - today).days
    if days_left > max(licence.warn_days, default=-1):
        return State.active
    if days_left >= 0:
        return State.expiring
    return State.renewal_window if today <= licence.renewable_until else State.lapsed

"""`sigupdate setup clamd` as a story: look, decide, journal, change, tell systemd."""

import contextlib
from collections.abc import Iterator

import msgspec

from keys.errors import StateError
from updater.setup import apply, diff, facts, recover, undo
from updater.setup import journal as journals
from updater.setup import plan as plans
from updater.setup.apply import Told
from updater.setup.host import Host
from updater.setup.journal import Change, Journal
from updater.setup.layout import Layout
from updater.setup.undo import Done

RESTART = "systemctl restart clamav-daemon.socket clamav-daemon.service"


class Action(msgspec.Struct, frozen=True):
    """One change, as it is reported."""

    action: str
    path: str
    becomes: str


class Report(msgspec.Struct, frozen=True):
    """What set-up did, or would do."""

    changed: bool
    dry_run: bool
    actions: tuple[Action, ...]
    diff: str = ""
    notes: tuple[str, ...] = ()
    commands: tuple[Told, ...] = ()
    next: tuple[str, ...] = ()


def set_up(host: Host, place: Layout, *, dry_run: bool) -> Report:
    """Make clamd read the updater's generations; nothing happens where it does already.

    Raises:
        UsageError: the updater's user does not exist, or clamd is not installed.
        StateError: a file cannot be read or changed.

    """
    with _alone(host, dry_run=dry_run):
        journal = journals.load(host)
        plan = plans.plan(place, facts.gather(host, place, journal))
        if not dry_run:
            apply.make(host, plan, journal)
    told = () if dry_run else apply.tell(host, plan.commands)
    return _report(plan.changes, plan.notes, told, _next(plan), dry_run=dry_run)


def take_out(
    host: Host, place: Layout, *, dry_run: bool, force: bool, purge: bool = False
) -> Report:
    """Give every file its original bytes, mode and owner again.

    Raises:
        StateError: somebody changed a file since, or the journal is gone, and ``force`` is not
            given.

    """
    with _alone(host, dry_run=dry_run):
        journal = _changed(host, place, force=force or dry_run)
        plan = undo.plan(place, journal, undo.gather(host, place, journal))
        if dry_run:
            done = Done((*plan.restores, *plan.conflicts), plan.notes)
        else:
            done = undo.make(host, place, journal, plan, force=force, purge=purge)
    told = () if dry_run else apply.tell(host, plan.commands)
    return _report(done.changes, done.notes, told, (RESTART,), dry_run=dry_run)


def _changed(host: Host, place: Layout, *, force: bool) -> Journal:
    """Read what set-up changed; where its journal is gone, tell it from the host itself.

    Raises:
        StateError: the journal is gone, and ``force`` is not given.

    """
    known = journals.load(host)
    if known.changes:
        return known
    found = recover.journal(host, place)
    if found.changes and not force:
        paths = ", ".join(change.path for change in found.changes)
        raise StateError(
            f"the journal of set-up is gone, and these are still as it leaves them: {paths}",
            hint="--undo --force gives them Debian's own values; --undo --dry-run shows those",
        )
    return found


def _alone(host: Host, *, dry_run: bool) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if dry_run else journals.locked(host)


def _next(plan: plans.Plan) -> Iterator[str]:
    if not plan.current_exists:
        yield "sigupdate run --install-only"
    yield from (RESTART, "sigupdate prove", "sigupdate check-host")


def _report(
    changes: tuple[Change, ...],
    notes: tuple[str, ...],
    told: tuple[Told, ...],
    following: Iterator[str] | tuple[str, ...],
    *,
    dry_run: bool,
) -> Report:
    return Report(
        changed=bool(changes),
        dry_run=dry_run,
        actions=tuple(Action(*diff.action(change)) for change in changes),
        diff="".join(diff.unified(change) for change in changes) if dry_run else "",
        notes=notes,
        commands=told,
        next=tuple(following) if changes else (),
    )

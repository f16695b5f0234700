"""What a mirror is told of this host after a run; a mirror that is down never fails a run.

Reports wait on disk until a mirror took them. What the engines' histories gained goes with the
newest one, signed by the host.
"""

import socket
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

import msgspec

from keys.credentials import read_credential
from keys.errors import Error, FormatError, SettingsError
from keys.model.release import encode
from keys.model.report import (
    MAX_HISTORY_BYTES,
    MAX_HISTORY_LINES,
    MEMBER,
    MEMBER_SEPARATOR,
    HistoryTail,
    HostReport,
    signed_text,
)
from keys.model.task import decode_answer
from updater.account import compose, counted
from updater.outbox import Outbox, Series
from updater.place import HostPlace, Place
from updater.report import RunReport
from updater.settings import Settings

if TYPE_CHECKING:
    from updater.identity import Identity

MAX_SENT = 50  # reports in one go; the rest waits for the next run
MAX_SECONDS = 15.0
REFUSED_HOURS = 24  # a mirror that takes no reports is asked again after that
MAX_TEXT = 2000
_GONE_FOR_GOOD = frozenset({400, 409, 413, 422})
_TAKES_NONE = frozenset({404, 405, 501})


class Post(Protocol):
    """Sends bytes to a path below the mirrors' addresses; returns status, Retry-After, answer."""

    def __call__(self, path: str, body: bytes) -> tuple[int, float, bytes]:
        """Send.

        Raises:
            Error: no mirror answered.

        """
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """What came of telling: reports sent, reports that wait, and why they do.

    ``tasks`` are what the mirror answered that there is to do; nobody vouches for them yet.
    """

    sent: int
    waiting: int
    note: str = ""
    tasks: tuple[bytes, ...] = ()


class Teller:
    """Tells the mirror about this host. Call it under the host's lock."""

    def __init__(self, settings: Settings, post: Post, *, now: datetime) -> None:
        self._settings = settings
        host = HostPlace.of(settings)
        self._places = {engine.name: Place.of(host, engine) for engine in settings.engine}
        self._post = post
        self._now = now
        self._fragments = host.fragments
        self._outbox = Outbox(host.outbox)
        self._book = host.tasks
        self._handed: tuple[bytes, ...] = ()

    def tell(self, run: RunReport, occasion: str) -> Told | None:
        """Report a run, and send what waits; nothing that goes wrong is raised.

        None where nothing is told: it is switched off, or the host has no credential.
        """
        file = self._settings.credential_file
        if not (file and self._settings.report.enabled):
            return None
        try:
            host = reporting_name(self._settings)
            report = compose(
                run,
                self._settings,
                self._places,
                host=host,
                occasion=occasion,
                at=self._now,
                known=self._fragments.known(),
            )
            answers = self._book.answers()
            report = msgspec.structs.replace(report, tasks=tuple(answers.values()))
            self._outbox.put(counted(report, self._settings.report))
            self._book.forget(answers)
            return self._send(host)
        except Error as exc:
            return Told(0, len(self._outbox.waiting()), str(exc))

    def _send(self, host: str) -> Told:
        series, sent = self._outbox.series(), 0
        if series.quiet_until and self._now < series.quiet_until:
            return Told(0, len(self._outbox.waiting()), series.note)
        path = f"v1/hosts/{quote(host, safe='~')}"
        until, note = time.monotonic() + MAX_SECONDS, ""
        numbers = self._outbox.waiting()[:MAX_SENT]
        for number in numbers:
            if time.monotonic() > until:
                note = f"not done within {MAX_SECONDS:g} seconds"
                break
            note = self._send_one(path, number, newest=number == numbers[-1])
            if note:
                break
            sent += 1
        return Told(sent, len(self._outbox.waiting()), note, self._handed)

    def _send_one(self, path: str, number: int, *, newest: bool) -> str:
        """Send one report; return why it, and those after it, have to wait."""
        report = self._outbox.read(number)
        if report is None:
            self._outbox.drop(number)
            return ""
        told = dict(self._outbox.series().told)
        if newest:
            report, told = self._with_history(report, told)
        try:
            status, wait, answer = self._post(path, encode(report))
        except Error as exc:
            return self._quiet(str(exc), 0.0)
        if status in {200, 202, 204} or status in _GONE_FOR_GOOD:
            self._outbox.drop(number)
            note = "" if status < 300 else f"the mirror refused report {number}: HTTP {status}"
            self._remember(told=told if status < 300 else None, note=note, at=self._now)
            self._handed = _tasks(answer) if status == 200 else ()
            return ""
        if status in _TAKES_NONE:
            return self._quiet("the mirror takes no reports", REFUSED_HOURS * 3600.0)
        return self._quiet(f"the mirror answered HTTP {status}", wait)

    def _quiet(self, note: str, seconds: float) -> str:
        until = self._now + timedelta(seconds=seconds) if seconds else None
        self._remember(note=note, until=until)
        return note

    def _remember(
        self, *, note: str, told: dict[str, str] | None = None, at: datetime | None = None,
        until: datetime | None = None,
    ) -> Series:  # fmt: skip
        series = self._outbox.series()
        return self._outbox.remember(
            msgspec.structs.replace(
                series,
                note=note,
                told=series.told if told is None else told,
                told_at=at or series.told_at,
                quiet_until=until,
            )
        )

    # -- history --------------------------------------------------------------------------------

    def _with_history(
        self, report: HostReport, told: dict[str, str]
    ) -> tuple[HostReport, dict[str, str]]:
        """Add what the histories gained since the mirror was told last, signed."""
        tails: list[HistoryTail] = []
        left = MAX_HISTORY_BYTES
        for name, place in self._places.items():
            lines, chain, left = _gained(place, told.get(name, ""), left)
            if lines:
                tails.append(HistoryTail(engine=name, lines=lines))
                told[name] = chain
        if not tails:
            return report, told
        identity = self._identity()
        report = msgspec.structs.replace(
            report, history=tuple(tails), public_key=identity.public_key
        )
        signature = identity.sign(signed_text(report))
        return msgspec.structs.replace(report, signature=signature), told

    def _identity(self) -> "Identity":
        from updater.identity import Identity  # noqa: PLC0415 - only where something is signed

        return Identity.of(self._outbox.folder / "host.key")


def reporting_name(settings: Settings) -> str:
    """Tell the name this host reports under: its credential's, and in a pool its own after it.

    Raises:
        SettingsError: the credential file, or a name that no member can have.

    """
    name = read_credential(Path(settings.credential_file)).username
    member = settings.report.member.replace("{hostname}", socket.gethostname())
    if member and not MEMBER.fullmatch(member):
        raise SettingsError(f"report.member: {member!r}: use letters, digits, . _ -")
    return f"{name}{MEMBER_SEPARATOR}{member}" if member else name


def _tasks(answer: bytes) -> tuple[bytes, ...]:
    """Return the tasks in an answer; none where it is not one."""
    try:
        return tuple(bytes(one) for one in decode_answer(answer).tasks)
    except FormatError:
        return ()


def _gained(place: Place, after: str, left: int) -> tuple[tuple[str, ...], str, int]:
    """Return a history's lines after the one with this chain value, within the limits."""
    last = place.history.last()
    if last is None or last.chain == after:
        return (), after, left
    entries = list(place.history.entries())
    start = next((n for n, entry in enumerate(entries, start=1) if entry.chain == after), 0)
    lines: list[str] = []
    for entry in entries[start : start + MAX_HISTORY_LINES]:
        line = encode(entry).decode()
        if len(line) > left:
            break
        lines.append(line)
        left -= len(line)
        after = entry.chain
    return tuple(lines), after, left

"""What a scanner host tells its mirror: one report per run; decoded tolerantly by newer and older.

A field nobody here knows is passed over, so a host may be newer than its mirror. Everything has a
limit; the whole is at most ``MAX_REPORT_BYTES``.
"""

import re
from typing import Annotated

import msgspec

from keys.errors import LimitError, UsageError
from keys.model.ignore import MAX_IGNORED
from keys.model.instant import utc
from keys.model.release import Instant, Sequence, Sha256

REPORT_SCHEMA = 1
MAX_REPORT_BYTES = 256 << 10
MAX_HISTORY_LINES = 100  # of one report
MAX_TASKS = 50  # told with one report
DONE, FAILED, REFUSED, INTERRUPTED = "done", "failed", "refused", "interrupted"  # of a task
MAX_HISTORY_BYTES = 128 << 10  # of one report

MEMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}")  # its own name of one of a pool
MEMBER_SEPARATOR = "~"  # between its pool's name and its own; in no host's name

Text = Annotated[str, msgspec.Meta(max_length=2000)]
Name = Annotated[str, msgspec.Meta(max_length=200)]
Line = Annotated[str, msgspec.Meta(max_length=32 << 10, pattern=r"^[^\x00]*\Z")]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{0,128}\Z")]


class Told(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A value that crosses a wire between versions: unknown fields are passed over."""


class ChannelRelease(Told, frozen=True, kw_only=True):
    """The release of one channel that an engine reads."""

    sequence: Sequence
    manifest_sha256: Sha256
    release: Name = ""
    published: Instant | None = None
    assurance: Name = ""


class TroubleTold(Told, frozen=True, kw_only=True):
    """One thing that went wrong; ``exit_code`` tells its kind."""

    message: Text
    hint: Text = ""
    exit_code: Annotated[int, msgspec.Meta(ge=0, le=255)] = 1


class IgnoredTold(Told, frozen=True, kw_only=True):
    """One signature that the site lets its hosts ignore, and how it stands here.

    ``standing`` is one of ``in force``, ``waiting``, ``not allowed``, ``not possible``, ``held``,
    ``overdue``. ``found`` is False where the engine has no definition of that name.
    """

    channel: Name
    name: Name
    standing: Name
    expires: Instant | None = None
    found: bool = True

    @property
    def line(self) -> str:
        """One line for a person."""
        until = f" until {utc(self.expires)}" if self.expires else ""
        missing = "" if self.found else ", no definition of that name"
        return f"ignore {self.name} of {self.channel}{until}: {self.standing}{missing}"


class EngineTold(Told, frozen=True, kw_only=True):
    """One engine of a host: what it reads and how far that is proven."""

    engine: Name
    kind: Name = ""
    version: Text = ""
    track: Name = ""
    outcome: Name = ""
    proof: Name = ""
    proof_at: Instant | None = None
    detail: Text = ""
    generation: Count = 0
    installed_at: Instant | None = None
    channels: Annotated[dict[Name, ChannelRelease], msgspec.Meta(max_length=200)] = {}
    held: Annotated[tuple[Text, ...], msgspec.Meta(max_length=50)] = ()
    troubles: Annotated[tuple[TroubleTold, ...], msgspec.Meta(max_length=50)] = ()
    quarantined: Annotated[tuple[Name, ...], msgspec.Meta(max_length=200)] = ()
    ignored: Annotated[tuple[IgnoredTold, ...], msgspec.Meta(max_length=MAX_IGNORED)] = ()


class TaskTold(Told, frozen=True, kw_only=True):
    """What came of one task, for one time that it was due at.

    ``outcome`` is done, failed, refused or interrupted; ``at`` is when that was known.
    """

    task: Name
    due: Instant
    outcome: Name
    at: Instant
    detail: Text = ""
    exit_code: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0


class SettingsTold(Told, frozen=True, kw_only=True):
    """Which fragment of the site's settings a host uses, tries, and refused; 0 is none."""

    sequence: Count = 0
    trying: Count = 0
    refused: Count = 0
    cause: Text = ""
    left_out: Annotated[tuple[Text, ...], msgspec.Meta(max_length=50)] = ()


class HistoryTail(Told, frozen=True, kw_only=True):
    """Lines an engine's history gained, as they stand in its file, in their order."""

    engine: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00]*\Z")]
    lines: Annotated[tuple[Line, ...], msgspec.Meta(max_length=MAX_HISTORY_LINES)]


class HostReport(Told, frozen=True, kw_only=True):
    """What a host says of itself.

    ``series`` is drawn anew when a host's state is lost, ``number`` rises within it: together they
    order reports whatever a clock says. ``signature`` is the host's, over ``signed_text``.
    """

    schema: Annotated[int, msgspec.Meta(ge=1, le=1000)] = REPORT_SCHEMA
    host: Name
    series: Hex
    number: Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
    occasion: Name = "run"  # run, heartbeat, task, prove, rollback
    at: Instant
    system: Text = ""
    sigupdate: Name = ""
    exit_code: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    duration_seconds: float = 0.0
    refreshed: Annotated[dict[Name, Instant], msgspec.Meta(max_length=100)] = {}
    engines: Annotated[tuple[EngineTold, ...], msgspec.Meta(max_length=50)] = ()
    troubles: Annotated[tuple[TroubleTold, ...], msgspec.Meta(max_length=50)] = ()
    detections: Count | None = None
    seats: Count | None = None
    settings: SettingsTold | None = None
    tasks: Annotated[tuple[TaskTold, ...], msgspec.Meta(max_length=MAX_TASKS)] = ()
    history: Annotated[tuple[HistoryTail, ...], msgspec.Meta(max_length=50)] = ()
    public_key: Hex = ""  # Ed25519, the host's own
    signature: Hex = ""


def signed_text(report: HostReport) -> bytes:
    """Return what a host signs: who it is, and the history lines it tells."""
    tails = [[tail.engine, *tail.lines] for tail in report.history]
    told = ["sigmirror-history-1", report.host, report.series, report.number, tails]
    return msgspec.json.encode(told)


def decode_report(data: bytes, what: str) -> HostReport:
    """Decode a report.

    Raises:
        LimitError: larger than ``MAX_REPORT_BYTES``.
        UsageError: not a report; the message names ``what`` and the field.

    """
    if len(data) > MAX_REPORT_BYTES:
        raise LimitError(f"{what}: larger than MAX_REPORT_BYTES={MAX_REPORT_BYTES}")
    try:
        return msgspec.json.decode(data, type=HostReport)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise UsageError(f"{what}: not a host's report: {exc}") from exc

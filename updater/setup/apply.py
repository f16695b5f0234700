"""Carry a plan out: the journal first, then each change, then what systemd has to be told."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from updater.setup import journal as journals
from updater.setup.host import Host
from updater.setup.journal import Journal
from updater.setup.plan import Plan

COMMAND_TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Told:
    """A command for systemd: whether it ran here, and how it failed."""

    command: str
    ran: bool
    error: str = ""


def make(host: Host, plan: Plan, journal: Journal) -> None:
    """Make the changes; a crash at any line leaves what ``--undo`` or a second run can finish.

    Raises:
        StateError: a path cannot be changed; what was changed so far is in the journal.

    """
    if not plan.changes:
        return
    journals.save(host, journal.with_changes(plan.changes))
    for folder in journal.folders():
        host.clear_leftovers(folder)
    for change in plan.changes:
        host.put(change.path, change.after)


def tell(host: Host, commands: Sequence[tuple[str, ...]]) -> tuple[Told, ...]:
    """Run commands where this host's systemd is running; elsewhere they are only named."""
    running = host.is_this_one and Path("/run/systemd/system").is_dir()
    return tuple(
        _run(command) if running and shutil.which(command[0]) else Told(" ".join(command), False)
        for command in commands
    )


def _run(command: tuple[str, ...]) -> Told:
    line = " ".join(command)
    try:
        done = subprocess.run(  # noqa: S603 - our own fixed words
            command, capture_output=True, timeout=COMMAND_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return Told(line, True, str(exc))
    error = done.stderr.decode(errors="replace").strip() if done.returncode else ""
    return Told(line, True, error)

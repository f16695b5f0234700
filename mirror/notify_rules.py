"""What an operator writes to be told of something; docs/operations.md explains each key."""

import re
from collections.abc import Iterator
from datetime import datetime, time
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from keys.settings import Count, Seconds, Table

Kind: TypeAlias = Literal[
    "licence-ending",
    "licence-renewal-window",
    "credential-rejected",
    "release-held",
    "canary-failed",
    "host-stale",
    "host-unproven",
    "role-expiring",
    "task-failed",
    "upstream-silent",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_QUIET = re.compile(r"(?P<start>[0-9]{2}:[0-9]{2})-(?P<end>[0-9]{2}:[0-9]{2})")


class NotifySettings(Table, frozen=True):
    """Whom to tell of which kinds of notices, how, and when not."""

    name: str
    on: tuple[Kind, ...] = ()  # empty: all of them
    urls: tuple[str, ...] = ()  # apprise's addresses, those without a secret
    urls_file: str = ""  # one address on each line, # comments
    command: tuple[str, ...] = ()  # is fed one JSON object
    repeat_hours: Count = 24  # 0: told once
    quiet: str = ""  # such as 22:00-06:00: what comes then is told afterwards
    tz: str = "UTC"  # of quiet
    timeout_seconds: Seconds = 30  # of one message

    def wants(self, kind: Kind) -> bool:
        """Tell whether the rule is about notices of a kind."""
        return not self.on or kind in self.on

    def is_quiet(self, now: datetime) -> bool:
        """Tell whether nothing is to be sent now."""
        match = _QUIET.fullmatch(self.quiet)
        if match is None:
            return False
        start, end = time.fromisoformat(match["start"]), time.fromisoformat(match["end"])
        at = now.astimezone(ZoneInfo(self.tz)).time()
        return start <= at < end if start <= end else at >= start or at < end


def problems(rule: NotifySettings) -> Iterator[str]:
    """List what is wrong with a rule by itself."""
    if not _NAME.fullmatch(rule.name):
        yield "name: use a-z, 0-9 and '-'"
    if bool(rule.command) == bool(rule.urls or rule.urls_file):
        yield "give either urls and urls_file, or a command"
    if not all("://" in url for url in rule.urls):
        yield "urls: an address begins with its scheme, such as json://"
    if rule.quiet and not _is_span(rule.quiet):
        yield f"quiet: {rule.quiet!r}: write it as 22:00-06:00"
    try:
        ZoneInfo(rule.tz)
    except (OSError, ValueError, KeyError):
        yield f"tz: no such time zone: {rule.tz!r}"


def _is_span(text: str) -> bool:
    match = _QUIET.fullmatch(text)
    try:
        return match is not None and bool([time.fromisoformat(part) for part in match.groups()])
    except ValueError:
        return False

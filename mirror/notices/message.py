"""Notices in words for people, and as JSON for programs."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from keys.model.instant import utc
from mirror.notices.planning import Saying, Word

MAX_LINES = 50  # of one message; the rest is counted
MAX_TITLE = 200  # characters


def title(sayings: Sequence[Saying]) -> str:
    """Say in a line what a message is about."""
    if len(sayings) == 1:
        return f"sigmirror: {sayings[0].word.value}: {sayings[0].notice.title}"[:MAX_TITLE]
    counted = [(word, sum(one.word is word for one in sayings)) for word in Word]
    return "sigmirror: " + ", ".join(f"{count} {word.value}" for word, count in counted if count)


def body(sayings: Sequence[Saying]) -> str:
    """Say it all, the new first."""
    order = list(Word)
    lines: list[str] = []
    for one in sorted(sayings, key=lambda saying: order.index(saying.word))[:MAX_LINES]:
        since = "" if one.word is Word.opened else f" (since {utc(one.since)})"
        lines.append(f"[{one.word.value}] {one.notice.title}{since}")
        if one.notice.text and one.word is not Word.resolved:
            lines.append(f"    {one.notice.text}")
    if len(sayings) > MAX_LINES:
        lines.append(f"and {len(sayings) - MAX_LINES} more: `sigmirror notify --dry-run`")
    return "\n".join(lines)


def encoded(rule: str, sayings: Sequence[Saying], *, at: datetime) -> bytes:
    """Write the JSON object that a command is fed."""
    notices = [
        {
            "word": one.word.value,
            "kind": one.notice.kind,
            "key": one.notice.key,
            "title": one.notice.title,
            "text": one.notice.text,
            "since": one.since,
        }
        for one in sayings
    ]
    told = {"rule": rule, "at": at, "title": title(sayings), "notices": notices}
    return msgspec.json.encode(told) + b"\n"

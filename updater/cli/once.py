"""`sigupdate run` as timers start it: read without a library for command lines, and done.

Only what is plain is read here. Anything else, a missing file, a help text, a mistake, is left to
that library, and reads the same: both end in an ``Order``.
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from keys.model.report import TaskTold
from updater import runs
from updater.cli.host import CONFIG_VARIABLE, DEFAULT_CONFIG, Host, complain, now, say, say_json
from updater.cli.tasks import as_text, carry_out, trying
from updater.report import RunReport

if TYPE_CHECKING:  # loaded only when something has to be fetched
    from updater.fetch import Progress

_FLAGS = {"--json": "as_json", "--install-only": "install_only", "--jitter": "jitter"}
_TEXTS = {"--config": "config", "--engine": "engine", "--textfile": "textfile"}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is to do."""

    config: Path
    engine: str = ""
    as_json: bool = False
    install_only: bool = False
    jitter: bool = False
    textfile: str = ""


def read(words: Sequence[str]) -> Order | None:
    """Read `run` and its plain options, each at most once; None for any other command line."""
    if not words or words[0] != "run":
        return None
    found: dict[str, Any] = {}
    rest = list(reversed(words[1:]))
    while rest:
        word = rest.pop()
        option = _FLAGS.get(word) or _TEXTS.get(word)
        if option is None or option in found:
            return None
        if word in _TEXTS and (not rest or rest[-1][:1] in {"", "-"}):
            return None
        found[option] = rest.pop() if word in _TEXTS else True
    config = Path(found.pop("config", "") or os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)
    readable = config.is_file() and os.access(config, os.R_OK)
    return Order(config=config, **found) if readable else None


def run(order: Order) -> int:
    """Make a run, tell how it ended, and return its exit code."""
    host = Host.load(order.config, textfile=order.textfile)
    if order.jitter:
        _wait(host.settings.jitter_seconds)
    with _bars(wanted=not order.as_json and sys.stderr.isatty()) as progress:
        ended = runs.run(
            lambda: Host.load(order.config, trying=True, textfile=order.textfile).update(
                at=now(), only=order.engine, ask_engine=not order.install_only, progress=progress
            ),
            note,
        )
    told = [] if order.install_only else carry_out(host.place, trying(order.config), ended.handed)
    return tell(ended.report, told, as_json=order.as_json)


def _wait(at_most_seconds: float) -> None:
    import random  # noqa: PLC0415 - start-up time: only where it is asked for

    time.sleep(random.uniform(0, at_most_seconds))  # noqa: S311 - spreads load


def note(text: str) -> None:
    """Say why settings of the site were set aside."""
    complain(text, "the settings before it stay in force")


def tell(report: RunReport, done: Sequence[TaskTold], *, as_json: bool) -> int:
    """Print how a run ended, one line for each engine and task; return its exit code."""
    if as_json:
        told = {"changed": report.changed, **msgspec.to_builtins(report), **tasks_plain(done)}
        say_json(told)
        return report.exit_code
    for engine in report.engines:
        say(engine.line)
    for one in done:
        say(as_text(one))
    for trouble in report.all_troubles:
        complain(trouble.message, trouble.hint)
    return report.exit_code


def tasks_plain(done: Sequence[TaskTold]) -> dict[str, object]:
    """Write the tasks that were done for JSON, where there were any."""
    return {"tasks": [msgspec.to_builtins(one) for one in done]} if done else {}


def _bars(*, wanted: bool) -> "AbstractContextManager[Progress | None]":
    if not wanted:
        return nullcontext()
    from updater.cli.bars import Bars  # noqa: PLC0415 - start-up time: only on a terminal

    return Bars()

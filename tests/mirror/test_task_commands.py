"""What an operator types about tasks: whom, when, how long; what cannot be is refused by name."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keys.model.task import MAX_REASON
from tests.mirror.operator import Operator, now

HOSTS = ("mx1", "mx2", "web1")


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    operator = Operator(tmp_path, capsys)
    for name in HOSTS:
        code, _, err = operator.types("host", "add", name, "--out", str(tmp_path / f"{name}.cred"))
        assert code == 0, err
    return operator


def add(operator: Operator, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = operator.asks("task", "add", *words)
    return found


def test_a_task_is_added_listed_shown_and_cancelled(operator: Operator) -> None:
    code, out, _ = operator.types("task", "add", "verify", "--hosts", "mx*", "--reason", "audit")
    assert code == 0
    assert "verify on mx*" in out
    assert out.endswith("hosts: 2\n")
    id_ = out.split()[1].rstrip(":")
    code, out, _ = operator.types("task", "show", id_[:6])
    assert code == 0
    assert "mx1  waiting" in out
    assert out.endswith("2 hosts: 2 waiting\n")
    assert "hosts=2 waiting  reason=audit" in operator.types("task", "list")[1]
    assert operator.asks("task", "cancel", id_, "--reason", "not needed")["cancelled"]
    code, _, err = operator.types("task", "cancel", id_)
    assert (code, err) == (2, f"error: task {id_}: is cancelled\n")
    code, out, _ = operator.types("task", "show", id_)
    assert code == 0
    assert "2 hosts: 2 cancelled" in out
    lines = (operator.mirror.folder / "state/publish.jsonl").read_text().splitlines()
    given, cancelled = (json.loads(line) for line in lines[-2:])
    assert (given["what"], given["why"]) == ("task", "audit")
    assert given["name"] == f"{id_} verify mx*"
    assert (cancelled["what"], cancelled["why"]) == ("task-cancel", "not needed")


def test_a_task_begins_when_it_was_said_to(operator: Operator) -> None:
    in_two_hours = add(operator, "prove", "--all", "--at", "2h", "--expires", "90m")
    assert _seconds(in_two_hours["at"]) == pytest.approx(7200, abs=300)
    assert _at(in_two_hours["ends"]) - _at(in_two_hours["at"]) == timedelta(minutes=90)
    at_a_time = add(operator, "prove", "--all", "--at", "2999-03-01T08:00:00+09:00")
    assert _at(at_a_time["at"]) == datetime.fromisoformat("2999-02-28T23:00:00+00:00")
    again = add(operator, "prove", "--all", "--at", "0 3 * * *", "--tz", "Asia/Tokyo")
    assert (again["cron"], again["tz"]) == ("0 3 * * *", "Asia/Tokyo")
    assert _seconds(again["ends"]) == pytest.approx(90 * 86400, abs=300)


def test_the_silent_are_asked_by_their_names(operator: Operator) -> None:
    assert add(operator, "update", "--stale")["hosts"] == sorted(HOSTS)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["prove"], "one of --hosts, --all and --stale"),
        (["prove", "--all", "--hosts", "mx1"], "one of --hosts, --all and --stale"),
        (["prove", "--hosts", "mx1,mx9"], "'mx9': no such host"),
        (["prove", "--hosts", "mx[12]"], "a pattern with * and ?"),
        (["prove", "--hosts", ","], "names no host"),
        (["prove", "--all", "--at", "tomorrow"], "not a time"),
        (["prove", "--all", "--at", "2026-01-01"], "has expired already"),
        (["prove", "--all", "--at", "9999-12-31"], "beyond every calendar"),
        (["prove", "--all", "--at", "0 3 * *"], "not a cron expression"),
        (["prove", "--all", "--at", "0 3 * * *", "--tz", "Mars/Base"], "not a time zone"),
        (["prove", "--all", "--expires", "99d"], "--expires: at most 31d"),
        (["prove", "--all", "--until", "999d"], "--until: at most 366d"),
        (["prove", "--all", "--reason", "x" * (MAX_REASON + 1)], "longer than"),
        (["rollback", "--all"], "say why with --reason"),
        (["format-disk", "--all"], "format-disk"),
    ],
)
def test_what_cannot_be_a_task_is_refused_by_name(
    operator: Operator, words: list[str], reason: str
) -> None:
    code, _, err = operator.types("task", "add", *words)
    assert code == 2
    assert reason in err
    assert operator.asks("task", "list") == []


def test_a_task_nobody_gave_is_not_found(operator: Operator) -> None:
    code, _, err = operator.types("task", "show", "abc")
    assert (code, "there is none" in err) == (2, True)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _seconds(text: str) -> float:
    return (_at(text) - now()).total_seconds()

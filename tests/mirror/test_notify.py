"""Notices reach a real mail server, a web hook and a command; one that is down holds up nobody."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mirror.operator import Operator
from tests.mirror.receivers import MailServer, WebHook, mail_server, trickling_hook, web_hook
from tests.mirror.serving import Process, wait_for

SECRET = "s3cr3t-t0ken"  # noqa: S105 - a test's


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def hook() -> Iterator[WebHook]:
    with web_hook() as server:
        yield server


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys)


def rule(name: str, *lines: str) -> str:
    return f'[[notify]]\nname = "{name}"\n' + "".join(f"{line}\n" for line in lines)


def ending(days: int = 10) -> str:
    """A licence that ends soon, so that something is open."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415 - only here

    ends = (datetime.now(UTC) + timedelta(days=days)).date()
    return (
        '[[licence]]\nname = "av"\nfile = "/nowhere.lic"\nstarts_on = "2025-12-01"\n'
        f'ends_on = "{ends}"\n'
    )


def urls_file(operator: Operator, *urls: str) -> str:
    path = operator.config.parent / "urls"
    path.write_text("# whom to tell\n" + "\n".join(urls) + "\n")
    path.chmod(0o600)
    return f'urls_file = "{path}"'


def test_a_notice_reaches_a_mail_server_and_a_web_hook_once(
    operator: Operator, mail: MailServer, hook: WebHook
) -> None:
    urls = urls_file(
        operator,
        f"mailto://{mail.address}?from=mirror@example.org&to=ops@example.org&mode=insecure",
        f"json://{hook.address}/{SECRET}",
    )
    operator.write(ending() + rule("ops", urls))
    assert operator.types("notify")[0] == 0
    code, out, err = operator.types("notify")
    assert code == 0, out + err
    (text,) = mail.mails
    assert "Subject: sigmirror: new: licence av ends on" in text
    (posted,) = hook.posted
    assert "licence av ends on" in posted["title"]
    assert "nothing to tell" in out


def test_a_notice_that_is_over_is_told_as_resolved(operator: Operator, hook: WebHook) -> None:
    rules = rule("ops", f'urls = ["json://{hook.address}"]')
    operator.write(ending() + rules)
    assert operator.types("notify")[0] == 0
    operator.write(ending(400) + rules)
    assert operator.types("notify")[0] == 0
    assert "resolved" in hook.posted[1]["title"]
    assert operator.types("notify")[0] == 0
    assert len(hook.posted) == 2


def test_a_command_is_fed_one_json_object(operator: Operator) -> None:
    told = operator.config.parent / "told"
    operator.write(ending() + rule("pager", f'command = ["tee", "-a", "{told}"]'))
    assert operator.types("notify")[0] == 0
    said = json.loads(told.read_text())
    assert said["rule"] == "pager"
    (notice,) = said["notices"]
    assert (notice["word"], notice["kind"], notice["key"]) == (
        "new",
        "licence-ending",
        "licence/av",
    )


def test_a_way_that_is_down_holds_up_no_other_and_is_a_problem(
    operator: Operator, hook: WebHook
) -> None:
    with web_hook() as other:
        other.status = 500
        operator.write(
            ending()
            + rule("broken", urls_file(operator, f"json://{other.address}/{SECRET}"))
            + rule("ops", f'urls = ["json://{hook.address}"]')
        )
        code, out, err = operator.types("notify")
        assert code == 1
        assert "broken/1: FAILED" in out
        assert len(hook.posted) == 1
        code, status, _ = operator.types("status")
        assert "problem: notify broken/1: json: not delivered, since" in status
        other.status = 200
        assert operator.types("notify")[0] == 0
        assert len(other.posted) == 1
        assert len(hook.posted) == 1
    assert "not delivered" not in operator.types("status")[1]
    written = "".join(
        path.read_text(errors="replace")
        for path in (operator.mirror.folder / "state").rglob("*")
        if path.is_file()
    )
    assert SECRET not in out + err + status + written


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('command = ["/no/such/program"]', "No such file"),
        ('command = ["false"]', "ended with 1"),
        ('command = ["sleep", "60"]\ntimeout_seconds = 1', "took longer than 1 s"),
        ('urls = ["nosuchscheme://s3cr3t-t0ken"]', "not an address apprise knows"),
        ('urls = ["json://127.0.0.1:1/s3cr3t-t0ken"]', "json: not delivered"),
        ('urls_file = "/no/such/file"', "No such file"),
    ],
)
def test_a_way_that_cannot_be_gone_is_named_without_its_secret(
    operator: Operator, line: str, reason: str
) -> None:
    operator.write(ending() + rule("ops", line))
    code, out, err = operator.types("notify")
    assert code == 1
    assert reason in out
    assert SECRET not in out + err


def test_an_address_that_answers_without_an_end_is_left(operator: Operator, hook: WebHook) -> None:
    with trickling_hook() as address:
        slow = rule(
            "slow", urls_file(operator, f"json://{address}/{SECRET}"), "timeout_seconds = 3"
        )
        operator.write(ending() + slow + rule("ops", f'urls = ["json://{hook.address}"]'))
        code, out, err = operator.types("notify")
    assert code == 1
    assert "slow/1: FAILED: notify slow/1: json: took longer than 3 s" in out
    assert len(hook.posted) == 1
    assert SECRET not in out + err


def test_quiet_hours_let_notices_wait(operator: Operator, hook: WebHook) -> None:
    address = f'urls = ["json://{hook.address}"]'
    operator.write(ending() + rule("ops", address, 'quiet = "00:00-23:59"', 'tz = "UTC"'))
    code, out, _ = operator.types("notify")
    if "wait: quiet" not in out:  # the minute before midnight
        pytest.skip("the one minute of the day that is not quiet")
    assert code == 0
    assert hook.posted == []
    operator.write(ending() + rule("ops", address))
    assert operator.types("notify")[0] == 0
    assert len(hook.posted) == 1


def test_a_dry_run_tells_nobody(operator: Operator, hook: WebHook) -> None:
    operator.write(ending() + rule("ops", f'urls = ["json://{hook.address}"]'))
    code, out, _ = operator.types("notify", "--dry-run")
    assert code == 0
    assert "licence-ending: licence av ends on" in out
    assert "ops/1: 1 notices would be told" in out
    assert hook.posted == []


def test_a_test_message_reaches_everybody(operator: Operator, hook: WebHook) -> None:
    operator.write(rule("ops", f'urls = ["json://{hook.address}"]'))
    assert operator.types("notify", "--test")[0] == 0
    assert "this is a test" in hook.posted[0]["title"]


def test_status_check_fails_while_anything_is_open(operator: Operator) -> None:
    operator.write()
    code, out, _ = operator.types("status", "--check")
    assert code == 0
    assert out.splitlines()[0] == "OK - no open problems | open=0"
    operator.write(ending())
    code, out, _ = operator.types("status", "--check")
    assert code == 1
    assert out.startswith("WARNING - licence av: ends on ")
    assert "| open=1" in out.splitlines()[0]
    assert operator.types("status")[0] == 0


def test_the_record_of_who_was_told_is_its_owners_only(operator: Operator, hook: WebHook) -> None:
    operator.write(ending() + rule("ops", f'urls = ["json://{hook.address}"]'))
    operator.types("notify")
    mode = (operator.mirror.folder / "state/notices.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_damaged_record_is_told_and_tells_nobody_twice(operator: Operator, hook: WebHook) -> None:
    operator.write(ending() + rule("ops", f'urls = ["json://{hook.address}"]'))
    operator.types("notify")
    (operator.mirror.folder / "state/notices.json").write_text("{")
    code, _, err = operator.types("notify")
    assert code == 1
    assert "notices.json" in err
    assert len(hook.posted) == 1


def test_a_running_mirror_tells_by_itself_and_a_restart_repeats_nothing(
    operator: Operator, hook: WebHook, tmp_path: Path
) -> None:
    listen = '[serve]\nlisten = "127.0.0.1:0"\nmetrics_listen = ""\n'
    operator.write(ending() + rule("ops", f'urls = ["json://{hook.address}"]'))
    broken = rule(
        "broken", f'urls = ["json://127.0.0.1:1/{SECRET}", "mailto://u:{SECRET}@127.0.0.1:1"]'
    )
    operator.config.write_text(listen + operator.config.read_text() + broken)
    with Process.started(operator.config, tmp_path / "log") as process:
        wait_for(lambda: bool(hook.posted), "the first notice")
        wait_for(lambda: process.told("notify-failed", way="broken/2"), "the failure")
        wait_for(lambda: process.told("notified", way="ops/1"), "the log")
    with Process.started(operator.config, tmp_path / "log2"):
        code, out, _ = operator.types("notify", "--dry-run")
        assert (code, "nothing to tell" in out) == (0, True)
    assert len(hook.posted) == 1
    assert SECRET not in (tmp_path / "log").read_text()


def test_a_mirror_stops_and_serves_while_somebody_cannot_be_told(
    operator: Operator, tmp_path: Path
) -> None:
    listen = '[serve]\nlisten = "127.0.0.1:0"\nmetrics_listen = ""\n'
    operator.write(ending() + rule("slow", 'command = ["sleep", "40"]', "timeout_seconds = 600"))
    operator.config.write_text(listen + operator.config.read_text())
    with Process.started(operator.config, tmp_path / "log") as process:
        (operator.drop / "a.yar").write_text("rule a { condition: true }")
        wait_for(lambda: process.told("published"), "a pull beside it")
    assert process.popen.returncode == 0


def test_check_config_shows_of_an_address_its_scheme_only(operator: Operator) -> None:
    operator.write(rule("ops", f'urls = ["json://127.0.0.1/{SECRET}"]'))
    code, out, err = operator.types("check-config")
    assert code == 0
    assert 'notify[0].urls = ["json://***"]' in out
    assert SECRET not in out + err
    operator.write(rule("ops", 'urls_file = "/no/such/file"'))
    code, out, _ = operator.types("check-config")
    assert code == 2
    assert "problem: /no/such/file: No such file" in out

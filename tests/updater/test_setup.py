"""`sigupdate setup clamd` on a copy of the files of Debian's packages."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keys.console import exit_code
from tests.updater import debian_host
from tests.updater.debian_host import picture
from updater.cli.setup import setup

CLAMD = "etc/clamav/clamd.conf"
FRESHCLAM = "etc/clamav/freshclam.conf"
ENGINE_FOLDER = "var/lib/clamav/sigmirror"
OVERLAY = "etc/sigmirror/overlay"
DROPIN = "etc/systemd/system/clamav-daemon.service.d/sigmirror.conf"

Run = Callable[..., int]


@pytest.fixture
def root() -> Iterator[Path]:
    """Lay the host below a folder that other users can enter, as no tmp_path is."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield debian_host.copy(Path(folder))


@pytest.fixture
def run(root: Path) -> Run:
    def call(*arguments: str) -> int:
        return exit_code(
            setup, program="sigupdate setup", arguments=["clamd", "--root", str(root), *arguments]
        )

    return call


@pytest.fixture
def report(run: Run, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, object]]:
    def call(*arguments: str) -> dict[str, object]:
        capsys.readouterr()
        assert run("--json", *arguments) == 0
        answer: dict[str, object] = json.loads(capsys.readouterr().out)
        return answer

    return call


def changed_lines(before: str, after: str) -> list[str]:
    return [line for line in after.splitlines() if line not in before.splitlines()]


class TestSettingUp:
    def test_clamd_conf_gets_one_other_line_and_keeps_mode_and_owner(
        self, root: Path, run: Run
    ) -> None:
        before, look = (root / CLAMD).read_text(), (root / CLAMD).stat()
        assert run() == 0
        after = (root / CLAMD).read_text()
        assert changed_lines(before, after) == [
            "DatabaseDirectory /var/lib/clamav/sigmirror/current"
        ]
        assert len(after.splitlines()) == len(before.splitlines())
        found = (root / CLAMD).stat()
        assert (found.st_mode, found.st_uid, found.st_gid) == (
            look.st_mode,
            look.st_uid,
            look.st_gid,
        )

    def test_both_units_lose_their_conditions_and_wait_for_a_generation(
        self, root: Path, run: Run
    ) -> None:
        assert run() == 0
        for unit in ("service", "socket"):
            text = (root / f"etc/systemd/system/clamav-daemon.{unit}.d/sigmirror.conf").read_text()
            assert text.splitlines()[1:] == [
                "[Unit]",
                "ConditionPathExists=",
                "ConditionPathExists=/var/lib/clamav/sigmirror/current/",
            ]

    def test_freshclam_can_be_started_by_nobody_and_notifies_nobody(
        self, root: Path, run: Run
    ) -> None:
        assert run() == 0
        for unit in ("clamav-freshclam.service", "clamav-freshclam-once.timer"):
            assert (root / f"etc/systemd/system/{unit}").readlink() == Path("/dev/null")
        assert not re.search(r"(?m)^NotifyClamd", (root / FRESHCLAM).read_text())

    def test_a_cron_line_for_freshclam_is_taken_away_and_comes_back(
        self, root: Path, run: Run
    ) -> None:
        cron = root / "etc/cron.d/clamav-freshclam"
        cron.parent.mkdir(exist_ok=True)
        cron.write_text("30 */1 * * * clamav /usr/bin/freshclam --quiet\n")
        before = picture(root)
        assert run() == 0
        assert not cron.exists()
        assert run("--undo") == 0
        assert picture(root) == before

    def test_the_engine_folder_belongs_to_the_updater_and_is_open_to_readers(
        self, root: Path, run: Run
    ) -> None:
        assert run() == 0
        found = (root / ENGINE_FOLDER).stat()
        assert found.st_mode & 0o777 == 0o755
        expected = debian_host.UPDATER_UID if os.geteuid() == 0 else os.getuid()
        assert found.st_uid == expected

    def test_settings_that_keep_a_reload_from_being_proven_are_changed(
        self, root: Path, run: Run
    ) -> None:
        with (root / CLAMD).open("a") as file:
            file.write("ConcurrentDatabaseReload no\n")
        text = (root / CLAMD).read_text()
        (root / CLAMD).write_text(
            text.replace("OfficialDatabaseOnly false", "OfficialDatabaseOnly yes")
        )
        assert run() == 0
        text = (root / CLAMD).read_text()
        assert "ConcurrentDatabaseReload yes\n" in text
        assert "OfficialDatabaseOnly no\n" in text

    def test_a_second_run_changes_nothing_and_says_so(
        self, root: Path, report: Callable[..., dict[str, object]]
    ) -> None:
        first = report()
        assert first["changed"] is True
        before = picture(root)
        second = report()
        assert (second["changed"], second["actions"], second["next"]) == (False, [], [])
        assert picture(root) == before

    def test_commands_are_named_where_no_systemd_runs(
        self, report: Callable[..., dict[str, object]]
    ) -> None:
        commands = report()["commands"]
        assert isinstance(commands, list)
        assert commands[0] == {"command": "systemctl daemon-reload", "ran": False, "error": ""}

    def test_a_dry_run_prints_a_diff_that_patch_applies_and_touches_nothing(
        self, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = picture(root)
        assert run("--dry-run") == 0
        shown = capsys.readouterr().out
        assert picture(root) == before
        assert "-DatabaseDirectory /var/lib/clamav\n" in shown
        assert "+DatabaseDirectory /var/lib/clamav/sigmirror/current\n" in shown
        assert "clamav-freshclam.service: absent -> link to /dev/null" in shown

    def test_settings_choose_the_folder_and_the_overlay(self, root: Path, run: Run) -> None:
        (root / "etc/sigmirror").mkdir()
        (root / "etc/sigmirror/sigupdate.toml").write_text(
            'mirrors = ["http://127.0.0.1:1"]\n[[engine]]\nname = "clamd"\nkind = "clamd"\n'
            'channels = ["x"]\nfolder = "/var/lib/clamav/own"\noverlay = "/etc/own-overlay"\n'
        )
        (root / "var/lib/clamav/local.ndb").write_text("Own:0:*:6d61726b6572\n")
        assert run() == 0
        assert "DatabaseDirectory /var/lib/clamav/own/current\n" in (root / CLAMD).read_text()
        assert (root / "etc/own-overlay/local.ndb").is_file()


class TestOverlay:
    def test_the_admins_own_definitions_are_copied_and_official_ones_are_not(
        self, root: Path, run: Run
    ) -> None:
        databases = root / "var/lib/clamav"
        for name in ("local.ign2", "custom.yar", "daily.cvd", "main.cld", "freshclam.dat"):
            (databases / name).write_bytes(f"content of {name}".encode())
        assert run() == 0
        assert sorted(p.name for p in (root / OVERLAY).iterdir()) == ["custom.yar", "local.ign2"]
        assert (root / OVERLAY / "local.ign2").read_bytes() == b"content of local.ign2"
        assert (databases / "local.ign2").exists()

    def test_a_link_planted_among_the_definitions_is_never_read_as_root(
        self, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        secret = root / "etc/shadow"
        secret.write_text("root:secret:")
        (root / "var/lib/clamav/local.hdb").symlink_to(secret)
        assert run() == 0
        assert not (root / OVERLAY / "local.hdb").exists()
        assert "local.hdb: not a plain file" in capsys.readouterr().out

    def test_an_overlay_file_edited_since_is_kept_by_undo(self, root: Path, run: Run) -> None:
        (root / "var/lib/clamav/local.ign2").write_text("Old.Name\n")
        assert run() == 0
        (root / OVERLAY / "local.ign2").write_text("New.Name\n")
        assert run("--undo") == 0
        assert (root / OVERLAY / "local.ign2").read_text() == "New.Name\n"
        assert "DatabaseDirectory /var/lib/clamav\n" in (root / CLAMD).read_text()

    def test_a_link_in_place_of_the_engine_folder_is_refused(
        self, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (root / "etc/precious").mkdir()
        owner = (root / "etc/precious").stat().st_uid
        (root / ENGINE_FOLDER).symlink_to(root / "etc/precious")
        assert run() == 1
        assert (root / "etc/precious").stat().st_uid == owner
        assert ENGINE_FOLDER in capsys.readouterr().err


class TestUndo:
    def test_everything_is_restored_byte_for_byte_with_mode_and_owner(
        self, root: Path, run: Run
    ) -> None:
        (root / "var/lib/clamav/local.ign2").write_bytes(b"no newline at the end\xff")
        (root / CLAMD).write_bytes((root / CLAMD).read_bytes().rstrip(b"\n") + b"\r\n# \xe9")
        (root / CLAMD).chmod(0o640)
        before = picture(root)
        assert run() == 0
        assert picture(root) != before
        assert run("--undo") == 0
        assert picture(root) == before

    def test_the_updaters_generations_go_with_their_folder(self, root: Path, run: Run) -> None:
        before = picture(root)
        assert run() == 0
        generation = root / ENGINE_FOLDER / "generations/1-0a1b2c3d"
        generation.mkdir(parents=True)
        (generation / "x.ndb").write_text("x")
        (root / ENGINE_FOLDER / "current").symlink_to("generations/1-0a1b2c3d")
        assert run("--undo") == 0
        assert picture(root) == before

    def test_a_folder_that_holds_something_foreign_is_kept(
        self, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run() == 0
        (root / ENGINE_FOLDER / "notes.txt").write_text("mine")
        assert run("--undo") == 0
        assert (root / ENGINE_FOLDER / "notes.txt").read_text() == "mine"
        assert "it also holds notes.txt" in capsys.readouterr().out

    def test_a_file_changed_by_the_admin_since_is_shown_and_nothing_is_touched(
        self, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run() == 0
        with (root / CLAMD).open("a") as file:
            file.write("MaxThreads 20\n")
        before = picture(root)
        assert run("--undo") == 1
        assert picture(root) == before
        message = capsys.readouterr().err
        assert "+DatabaseDirectory /var/lib/clamav\n" in message
        assert "-DatabaseDirectory /var/lib/clamav/sigmirror/current\n" in message

    def test_force_takes_out_our_lines_and_keeps_the_admins(self, root: Path, run: Run) -> None:
        original = (root / CLAMD).read_text()
        assert run() == 0
        with (root / CLAMD).open("a") as file:
            file.write("MaxThreads 20\n")
        assert run("--undo", "--force") == 0
        assert (root / CLAMD).read_text() == original + "MaxThreads 20\n"
        assert not (root / DROPIN).exists()

    def test_after_a_reconfigure_set_up_runs_again_and_undo_gives_the_new_file_back(
        self, root: Path, run: Run
    ) -> None:
        assert run() == 0
        fresh = "# generated anew\nUser clamav\nDatabaseDirectory /var/lib/clamav\nMaxThreads 7\n"
        (root / CLAMD).write_text(fresh)
        assert run() == 0
        assert "sigmirror/current" in (root / CLAMD).read_text()
        assert run("--undo") == 0
        assert (root / CLAMD).read_text() == fresh

    def test_a_reconfigure_that_kept_our_line_still_gives_the_original_back(
        self, root: Path, run: Run
    ) -> None:
        assert run() == 0
        kept = "User clamav\nDatabaseDirectory /var/lib/clamav/sigmirror/current\n"
        (root / CLAMD).write_text(kept)
        (root / DROPIN).unlink()
        assert run() == 0
        assert run("--undo", "--force") == 0
        text = (root / CLAMD).read_text()
        assert text == "User clamav\nDatabaseDirectory /var/lib/clamav\n"
        assert not (root / DROPIN).exists()

    def test_undo_without_set_up_changes_nothing(
        self, root: Path, report: Callable[..., dict[str, object]]
    ) -> None:
        before = picture(root)
        assert report("--undo")["changed"] is False
        assert picture(root) == before

    def test_a_journal_that_others_could_have_written_is_not_followed(
        self, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run() == 0
        (root / "var/lib/sigmirror-setup/clamd.json").chmod(0o666)
        assert run("--undo") == 1
        assert "others could have written it" in capsys.readouterr().err

    def test_a_dry_undo_shows_the_way_back_and_touches_nothing(
        self, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run() == 0
        before = picture(root)
        assert run("--undo", "--dry-run") == 0
        assert picture(root) == before
        assert "+DatabaseDirectory /var/lib/clamav\n" in capsys.readouterr().out

    def test_state_stays_unless_it_is_purged_and_undo_says_so(
        self, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = picture(root)
        state = root / "var/lib/sigupdate"
        for words in ((), ("--purge",)):
            assert run() == 0
            (state / "blobs").mkdir(exist_ok=True)
            capsys.readouterr()
            assert run("--undo", *words) == 0
            said = capsys.readouterr().out
            assert ("remove  /var/lib/sigupdate\n" in said) == bool(words)
            assert ("kept, it also holds blobs; --purge removes it" in said) != bool(words)
            if not words:
                shutil.rmtree(state)
        assert picture(root) == before

    @pytest.mark.parametrize(
        "lost",
        [
            (ENGINE_FOLDER, "var/lib/sigupdate", "etc/sigmirror"),
            (DROPIN, "etc/systemd/system/clamav-freshclam.service"),
            ("etc/systemd/system/clamav-daemon.socket.d",),
        ],
        ids=["folders", "files", "a drop-in's folder"],
    )
    def test_what_is_partly_gone_is_undone_and_a_second_time_nothing_is_left(
        self, root: Path, run: Run, lost: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = picture(root)
        assert run() == 0
        for name in lost:
            path = root / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        assert run("--undo") == 0
        assert picture(root) == before
        capsys.readouterr()
        assert run("--undo") == 0
        assert capsys.readouterr().out == "nothing to change\n"

    def test_settings_of_a_clamd_that_was_purged_are_not_brought_back(
        self, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run() == 0
        shutil.rmtree(root / "etc/clamav")
        for unit in root.glob("*/systemd/system/clamav-daemon.service"):
            unit.unlink()
        assert run("--undo") == 0
        assert "gone with what it belonged to, left so" in capsys.readouterr().out
        assert not (root / "etc/clamav").exists()
        assert not (root / DROPIN).exists()

    def test_without_its_journal_undo_names_what_is_ours_and_gives_debians_values(
        self, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = picture(root)
        assert run() == 0
        shutil.rmtree(root / "var/lib/sigmirror-setup")
        after = picture(root)
        assert run("--undo") == 1
        assert f"/{DROPIN}" in capsys.readouterr().err
        assert run("--undo", "--force") == 0
        left = {name for name in picture(root).keys() | before if name in after}
        assert {name for name in left if picture(root).get(name) != before.get(name)} == {
            "etc/sigmirror", OVERLAY, "var/lib/sigupdate",
        }  # fmt: skip

    def test_links_and_comments_alone_are_an_administrators(self, root: Path, run: Run) -> None:
        (root / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
        (root / "etc/systemd/system/clamav-freshclam.service").symlink_to("/dev/null")
        before = picture(root)
        assert run("--undo", "--force") == 0
        assert picture(root) == before


class TestRefusals:
    def test_a_host_without_the_updaters_user_is_told_how_to_make_it(
        self, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        before = picture(root)
        assert run() == 2
        assert "hint: adduser --system --group" in capsys.readouterr().err
        assert picture(root) == before

    def test_a_host_without_clamd_is_told_what_to_install(
        self, root: Path, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (root / CLAMD).unlink()
        assert run() == 2
        assert "apt-get install clamav-daemon" in capsys.readouterr().err

    def test_force_and_purge_belong_to_undo(self, run: Run) -> None:
        assert run("--purge") == 2
        assert run("--force") == 2

    def test_two_engines_of_kind_clamd_need_a_name(self, root: Path, run: Run) -> None:
        engine = '[[engine]]\nname = "{}"\nkind = "clamd"\nchannels = ["x"]\n'
        (root / "etc/sigmirror").mkdir()
        (root / "etc/sigmirror/sigupdate.toml").write_text(
            'mirrors = ["http://127.0.0.1:1"]\n' + engine.format("a") + engine.format("b")
        )
        assert run() == 2
        assert run("--engine", "b") == 0


_DRIVER = """
import sys
from keys.console import run
from updater.cli.setup import setup
run(setup, program="setup", arguments=["clamd", *sys.argv[1:]])
"""
_STEPS = "rename,renameat,renameat2,unlink,unlinkat,rmdir,symlink,symlinkat,mkdir,mkdirat"


def traced(root: Path, *options: str, undo: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _DRIVER, "--root", str(root), *(["--undo"] * undo)]
    return subprocess.run(
        ["strace", "-f", "-e", f"trace={_STEPS}", *options, *command],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("undo", [False, True], ids=["set-up", "undo"])
def test_a_kill_at_any_change_leaves_a_host_that_undo_restores(
    root: Path, run: Run, *, undo: bool
) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed: apt-get install strace")
    (root / "var/lib/clamav/local.ign2").write_text("Own.Name\n")
    before = picture(root)
    if undo:
        assert run() == 0
    counted = traced(root, undo=undo)
    assert counted.returncode == 0
    steps = Counter(re.findall(r"(?m)^(?:\[pid +\d+\] )?(\w+)\(", counted.stderr))
    assert run("--undo") == 0
    for call, number in each(steps):  # strace counts each system call by itself
        if undo:
            assert run() == 0
        killed = traced(root, "-e", f"inject={call}:signal=SIGKILL:when={number}", undo=undo)
        assert killed.returncode != 0, killed.stderr
        assert run("--undo") == 0
        assert picture(root) == before, f"killed at {call} {number}"
    print(f"killed at {steps.total()} steps")


def each(steps: Counter[str]) -> Iterator[tuple[str, int]]:
    for call, count in steps.items():
        yield from ((call, number) for number in range(1, count + 1))


_NAMESPACE = """
set -e
picture() {
    find /etc /var/lib/clamav -type d -printf '%p d %m %u %g\\n' \\
        -o -printf '%p %y %m %u %g %s %l\\n' | sort
}
mount -t tmpfs tmpfs /mnt
for folder in etc var run; do
    mkdir -p /mnt/$folder/upper /mnt/$folder/work
    mount -t overlay overlay /$folder \\
        -o lowerdir=/$folder,upperdir=/mnt/$folder/upper,workdir=/mnt/$folder/work
done
mkdir -p /run/systemd/system /mnt/bin
printf '#!/bin/sh\\necho "systemctl $*" >> /mnt/told\\n' > /mnt/bin/systemctl
chmod 755 /mnt/bin/systemctl
PATH=/mnt/bin:$PATH
grep -q ^sigupdate: /etc/passwd ||
    echo sigupdate:x:64901:64901::/:/bin/false >> /etc/passwd
picture > /mnt/before
"$PYTHON" -c "$DRIVER" >/dev/null
grep -q '^DatabaseDirectory /var/lib/clamav/sigmirror/current$' /etc/clamav/clamd.conf
"$PYTHON" -c "$DRIVER" --undo >/dev/null
picture > /mnt/after
diff /mnt/before /mnt/after
cat /mnt/told
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the running system's files")
def test_on_the_running_system_systemd_is_told_and_undo_leaves_no_trace() -> None:
    """The real paths, in a mount namespace that keeps every change to itself."""
    if not Path("/etc/clamav/clamd.conf").exists():
        pytest.skip("clamd is not installed: apt-get install clamav clamav-daemon")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _NAMESPACE],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHON": sys.executable, "DRIVER": _DRIVER},
        check=False,
    )
    if "permission denied" in done.stderr.lower() and done.returncode:
        pytest.skip("this sandbox allows no mounts")
    assert done.returncode == 0, done.stderr + done.stdout
    told = done.stdout.splitlines()
    assert told[0] == "systemctl daemon-reload"
    assert told[1].startswith("systemctl stop clamav-freshclam.service")
    assert "systemctl daemon-reload" in told[2:]

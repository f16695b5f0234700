"""The machines of the walk: folders on this one, an `scp` between them, a clock that is moved."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import short_folders
from tests.clocks import faketime
from tests.loopback import free_port
from tests.mirror.serving import Process, unverified, wait_for
from tests.updater.clamd_process import Clamd, need_clamd
from tests.walk.script import File, Later, Step

BIN = Path(sys.executable).parent
DOCUMENT = Path(__file__).parents[2] / "docs/thirty-days.md"
FIRST_DAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
CLOCK_SECONDS = 3.0  # a program that runs looks again after a second, counted in whole ones
PLACES = "etc/sigmirror|etc/clamav|var/lib/sigmirror|var/lib/sigupdate|var/lib/clamav|run|srv"
_PATH = re.compile(rf"(?:(?<=file://)|(?<![\w.:/}}]))/(?={PLACES})")
HOME = "srv/admin"  # where an administrator's shell begins
DELIVERY = "mv /srv/new.yar /srv/acme/"
MIRROR = "mirror.example:8480"
EVERYWHERE = "0.0.0.0:8480"
# Copies a file into another machine's folder; paths in settings are that machine's then.
_SCP = """#!/bin/sh
machine=${2%%:*}; path=$WALK/$machine${2#*:}
mkdir -p "$(dirname "$path")" && cp "$1" "$path"
case $path in *.toml) sed -i "s|$WALK/[a-z0-9]*/|$WALK/$machine/|g" "$path";; esac
"""


class Stage:
    """Everything that lives while the walk is walked."""

    def __init__(self, folder: Path) -> None:
        need_clamd()
        for program in ("clamdscan", "openssl"):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed: apt-get install {program}")
        self._library = faketime()
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self._started = datetime.now(UTC)
        self._now = FIRST_DAY
        self.hosts: list[str] = []
        self._mirror = contextlib.ExitStack()
        self._process: Process | None = None
        self._engines: dict[str, Clamd] = {}
        self._scanners: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "bin").mkdir()
        (folder / "bin/scp").write_text(_SCP)
        (folder / "bin/scp").chmod(0o755)

    # -- what the document asks for ----------------------------------------------------------------

    def wait(self, later: Later) -> None:
        """Move the clock; the mirror went on meanwhile, and every host's timer has run."""
        if later.day is None:
            self._now += QUARTER
        else:
            self._now = FIRST_DAY + timedelta(days=later.day)
        offset = self._now - datetime.now(UTC)
        (moved := self.folder / "clock.new").write_text(f"{offset.total_seconds():+.0f}\n")
        moved.replace(self.folder / "clock")
        if self._process and later.day is not None:
            self.serve()
        time.sleep(CLOCK_SECONDS)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda host: self.shell(host, "sigupdate run"), self.hosts))

    def put(self, file: File) -> None:
        """Write a file of settings as it stands in the document."""
        path = self.folder / file.machine / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._inwards(file.machine, file.text))

    def act(self, step: Step) -> tuple[int, str]:
        """Run one command; return its exit code and what a reader of the document would see."""
        if step.command.startswith("systemctl "):
            self._systemctl(step.machine, step.command.split()[-1])
            return 0, ""
        before = self._published()
        done = self.shell(step.machine, step.command)
        self._date_files(step.machine)
        if DELIVERY in step.command:
            wait_for(lambda: self._published() > before, "the vendor's delivery")
        if step.machine == "mirror":
            self._wait_until_served()
        return done.returncode, self._outwards(done.stdout)

    def _published(self) -> int:
        log = self.folder / "mirror/var/lib/sigmirror/state/publish.jsonl"
        return log.read_text().count('"what":"release"') if log.exists() else 0

    def _date_files(self, machine: str) -> None:
        """Give what was written just now the walk's date: releases are named after it."""
        for path in (self.folder / machine / "srv").rglob("*"):
            if path.stat().st_mtime > self._started.timestamp():
                os.utime(path, (self._now.timestamp(), self._now.timestamp()))

    # -- machines ----------------------------------------------------------------------------------

    def shell(self, machine: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command; what moves clocks is loaded into its programs, not into the shell.

        A shell's part of a pipeline that ends early takes away what the other parts share.
        """
        home = self.folder / machine / HOME
        home.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            ["bash", "-c", f"export LD_PRELOAD={self._library}\n{self._inwards(machine, command)}"],
            cwd=home,
            env={**self._environment(machine), "LD_PRELOAD": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def _inwards(self, machine: str, text: str) -> str:
        text = text.replace("DNS:mirror.example", "IP:127.0.0.1").replace(MIRROR, self.address)
        text = text.replace(EVERYWHERE, self.address).replace('user = "sigupdate"\n', "")
        return _PATH.sub(f"{self.folder}/{machine}/", text)

    def _outwards(self, text: str) -> str:
        text = re.sub(rf"{self.folder}/[a-z0-9]+(?=/)", "", text)
        text = text.replace(f"https://{self.address}", f"https://{MIRROR}")
        return text.replace(self.address, EVERYWHERE)

    def _environment(self, machine: str) -> dict[str, str]:
        config = self.folder / machine / "etc/sigmirror"
        return {
            **os.environ,
            "WALK": str(self.folder),
            "PATH": f"{self.folder}/bin:{BIN}:{os.environ['PATH']}:/usr/sbin",
            "SIGMIRROR_CONFIG": str(config / "sigmirror.toml"),
            "SIGUPDATE_CONFIG": str(config / "sigupdate.toml"),
            "COLUMNS": "200",
            "TZ": "UTC",
            **self._clock(),
        }

    def _clock(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self.folder / "clock"),
            "FAKETIME_CACHE_DURATION": "1",
            "LOGNAME": "sigmirror",
        }

    # -- services ----------------------------------------------------------------------------------

    def _systemctl(self, machine: str, unit: str) -> None:
        if unit == "sigmirror":
            self.serve()
        elif unit == "clamav-daemon":
            self._engine(machine)
        elif unit == "yara-scanner":
            self._scanner(machine)
        else:
            self.hosts.append(machine)  # its timer

    def serve(self) -> None:
        """Run the mirror on this day, in place of the one before."""
        self._mirror.close()
        clock = [f"{name}={value}" for name, value in self._clock().items()]
        config = self.folder / "mirror/etc/sigmirror/sigmirror.toml"
        started = Process.started(config, self.folder / "log", under=("env", *clock))
        self._process = self._mirror.enter_context(started)
        self._wait_until_served()

    def _engine(self, machine: str) -> None:
        if machine in self._engines:
            self._engines[machine].stop()
        home = self.folder / machine
        (home / "etc/clamav").mkdir(parents=True, exist_ok=True)
        clamd = Clamd(home / "etc/clamav", home / "var/lib/clamav/sigmirror/current")
        (home / "run/clamav").mkdir(parents=True, exist_ok=True)
        place = home / "run/clamav/clamd.ctl"
        place.unlink(missing_ok=True)
        place.symlink_to(clamd.socket)
        clamd.start()
        self._engines[machine] = clamd

    def _scanner(self, machine: str) -> None:
        (self.folder / machine / "run").mkdir(parents=True, exist_ok=True)
        with (self.folder / machine / "scanner.log").open("ab") as log:
            self._scanners[machine] = subprocess.Popen(
                [BIN / "sigupdate", "yara-scanner"],
                env={**self._environment(machine), "LD_PRELOAD": ""},
                stdout=log,
                stderr=log,
            )
        wait_for((self.folder / machine / "run/yara.sock").exists, f"{machine}'s scanner")

    def _wait_until_served(self) -> None:
        """Wait until the mirror, where it runs, has noticed what a command changed."""
        stamp = self.folder / "mirror/var/lib/sigmirror/r/site/metadata/timestamp.json"
        if self._process:
            version = json.loads(stamp.read_bytes())["signed"]["version"]
            wait_for(lambda: self._ask("readyz").get("timestamp", 0) >= version, "the mirror")
            wait_for(self._admits_all, "the door")

    def _ask(self, path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(
                f"https://{self.address}/{path}", timeout=30, context=unverified()
            ) as answer:
                told: dict[str, Any] = json.loads(answer.read())
                return told
        except urllib.error.URLError:
            return {}

    def _admits_all(self) -> bool:
        """Tell whether the host that was added last is let in."""
        given = sorted(self.folder.glob(f"mirror/{HOME}/credentials/*.cred"))
        if not given:
            return True
        url = f"https://{self.address}/v1/hosts/x"
        request = urllib.request.Request(url, data=b"")
        shown = b64encode(given[-1].read_bytes().strip()).decode()
        request.add_header("Authorization", f"Basic {shown}")
        try:
            with urllib.request.urlopen(request, timeout=30, context=unverified()):  # noqa: S310
                return True
        except urllib.error.HTTPError as exc:
            return exc.code == 403

    def end(self) -> None:
        """Stop everything that was started."""
        self._mirror.close()
        for clamd in self._engines.values():
            clamd.stop()
        for scanner in self._scanners.values():
            scanner.kill()
            scanner.wait()


@contextlib.contextmanager
def staged() -> Iterator[Stage]:
    """Open the stage in a folder with a short name: sockets need one."""
    with short_folders.made("walk-") as folder:
        stage = Stage(folder)
        try:
            yield stage
        finally:
            stage.end()

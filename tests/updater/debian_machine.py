"""The running system with every change kept to itself: a mount namespace, and units in it.

Settings, units, users and databases stand at their real paths; nothing leaves the namespace.
"""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGING = CHECKOUT / "packaging"
SCRIPTS = Path(sys.executable).parent
TIMEOUT_SECONDS = 120.0
WRITABLE = ("/etc", "/var", "/run")
# What systemd's ProtectSystem=strict, ReadWritePaths= and PrivateTmp= come to; /tmp itself is
# left alone, the checkout may lie in it.
_SANDBOX = """
set -e
for path in {writable}; do mount --bind "$path" "$path"; done
for path in / {layers}; do mount -o remount,bind,ro "$path"; done
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
umask {umask}
cd /
exec setpriv --reuid={user} --regid={group} {groups} --no-new-privs --bounding-set=-all \\
    --inh-caps=-all env TMPDIR=/var/tmp {command}
"""


def opaque(path: Path) -> Iterator[Path]:
    """List the folders above a path that other users cannot enter."""
    yield from (folder for folder in path.resolve().parents if not folder.stat().st_mode & 0o001)


def _layers() -> list[str]:
    """Name what needs a layer: what is changed, and homes that hold the interpreter."""
    hidden = {
        str(folder)
        for path in (CHECKOUT / "x", SCRIPTS / "x", Path(sys.base_prefix) / "x")
        for folder in opaque(path)
    }
    return [*WRITABLE, *sorted(hidden - {"/"})]


def _opening(more: Sequence[str]) -> str:
    """Write the script that lays a layer over each folder and then waits."""
    lines = ["set -e", "mount -t tmpfs -o mode=755 tmpfs /mnt"]
    for number, folder in enumerate([*_layers(), *more]):
        changes = f"upperdir=/mnt/{number}/upper,workdir=/mnt/{number}/work"
        lines += [
            f"mkdir -p /mnt/{number}/upper /mnt/{number}/work",
            f"mount -t overlay overlay {folder} -o lowerdir={folder},{changes}",
            f"chmod o+x {folder}",
        ]
    return "\n".join([*lines, "echo ready", "exec sleep 3600"])


@dataclass(frozen=True, slots=True)
class Machine:
    """A mount namespace that a sleeping process keeps open."""

    holder: int

    def _entering(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", "--mount", f"--target={self.holder}", *command]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as root and wait for it."""
        return subprocess.run(
            self._entering(command),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            env={**os.environ, "PATH": f"{SCRIPTS}:{os.environ['PATH']}"},
            check=False,
        )

    def shell(self, script: str) -> str:
        """Run a script as root; it must succeed."""
        done = self.run("sh", "-ec", script)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file of root's."""
        self.shell(f"printf %s {shlex.quote(text)} > {path}")

    def as_unit(self, unit: str, command: str = "") -> subprocess.CompletedProcess[str]:
        """Run a unit's ExecStart, or a command, with its user, groups, umask and writable paths."""
        said = self._unit(unit)
        groups = said.get("SupplementaryGroups", "")
        writable = [*said.get("ReadWritePaths", "").split()]
        writable += [f"/var/lib/{name}" for name in said.get("StateDirectory", "").split()]
        script = _SANDBOX.format(
            writable=" ".join(_outermost(writable)),
            layers=" ".join(_layers()),
            umask=said["UMask"],
            user=said["User"],
            group=said["Group"],
            groups=f"--groups={groups}" if groups else "--clear-groups",
            command=command or f"{SCRIPTS}/{said['ExecStart']}",
        )
        return self.run("unshare", "--mount", "sh", "-c", script)

    def _unit(self, unit: str) -> dict[str, str]:
        dropins = f"/etc/systemd/system/{unit}.d"
        text = (PACKAGING / "systemd" / unit).read_text()
        text += self.shell(f"cat {dropins}/*.conf 2>/dev/null || true")
        return dict(re.findall(r"(?m)^(\w+)=(.*)$", text))

    @contextlib.contextmanager
    def engine(self) -> Iterator[None]:
        """Run clamd as its unit does, on the configuration that Debian generates."""
        self.shell("mkdir -p /run/clamav; chown clamav /run/clamav")
        process = subprocess.Popen(
            self._entering(["clamd", "--foreground=true"]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self.shell("timeout 20 sh -c 'until test -S /run/clamav/clamd.ctl; do sleep .05; done'")
            yield
        finally:
            process.terminate()
            process.wait(timeout=TIMEOUT_SECONDS)


def _outermost(paths: list[str]) -> list[str]:
    """Leave out a path below another: systemd makes no mount of its own for it."""
    return [
        path
        for path in paths
        if not any(Path(path).is_relative_to(other) for other in paths if other != path)
    ]


@contextlib.contextmanager
def machine(*more: str) -> Iterator[Machine]:
    """Open the namespace, with layers over more folders; skip where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as other users")
    if not Path("/etc/clamav/clamd.conf").exists():
        pytest.skip("clamd is not installed: apt-get install clamav clamav-daemon")
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", _opening(more)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != "ready\n":
                pytest.skip("this sandbox allows no overlay mounts")
            yield Machine(holder.pid)
        finally:
            holder.kill()

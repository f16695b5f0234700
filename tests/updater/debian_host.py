"""A copy of the installed Debian packages' files, to set up and to undo."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

PACKAGES = ("clamav-daemon", "clamav-freshclam", "clamav-base")
GENERATED = (
    "/etc/clamav/clamd.conf",
    "/etc/clamav/freshclam.conf",
    "/etc/systemd/system/clamav-daemon.service.d/extend.conf",
    "/etc/apparmor.d/local/usr.sbin.clamd",
)
NEEDED = ("clamd", "clamav-daemon", "apt-get install clamav clamav-daemon")
UPDATER_UID = 64901  # any number no real account has
ENGINE_UID = 64902


def copy(root: Path) -> Path:
    """Lay the packages' files below a folder, with accounts of our own."""
    for path in sorted({*_installed(), *GENERATED}):
        source, target = Path(path), root / path.lstrip("/")
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    _unmerge(root)
    updater, engine = (UPDATER_UID, ENGINE_UID) if os.geteuid() == 0 else (os.getuid(), os.getuid())
    (root / "etc/passwd").write_text(
        f"root:x:0:0::/root:/bin/sh\n"
        f"clamav:x:{engine}:{engine}::/var/lib/clamav:/bin/false\n"
        f"sigupdate:x:{updater}:{updater}::/var/lib/sigupdate:/usr/sbin/nologin\n"
    )
    (root / "etc/group").write_text(f"clamav:x:{engine}:\nsigupdate:x:{updater}:\n")
    if os.geteuid() == 0:
        os.chown(root / "var/lib/clamav", engine, engine)
    return root


def _installed() -> list[str]:
    listed = subprocess.run(["dpkg", "-L", *PACKAGES], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("clamd is not installed: apt-get install clamav clamav-daemon")
    wanted = ("/etc/", "/lib/systemd/", "/usr/lib/systemd/", "/var/lib/clamav")
    return [line for line in listed.stdout.splitlines() if line.startswith(wanted)]


def _unmerge(root: Path) -> None:
    """Make the copy of units reachable by the path that systemd uses on a merged /usr."""
    units = root / "usr/lib/systemd"
    if not units.exists():
        units.parent.mkdir(parents=True, exist_ok=True)
        units.symlink_to("../../lib/systemd")


def picture(root: Path) -> dict[str, object]:
    """Take every path's kind, mode, owner and content."""
    return {str(path.relative_to(root)): _look(path) for path in sorted(root.rglob("*"))}


def _look(path: Path) -> tuple[object, ...]:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return "link", str(path.readlink())
    content = path.read_bytes() if stat.S_ISREG(found.st_mode) else b""
    return oct(found.st_mode), found.st_uid, found.st_gid, content

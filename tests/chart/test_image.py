"""The Dockerfile: linted, and where the tools are, really built and run, from a base made here."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CERTIFICATES = "/etc/ssl/certs"
PACKAGES = "python3,python3-venv,ca-certificates"
TEMPORARY = "/tmp"  # noqa: S108 - an image's own
PATH = "/opt/sigmirror/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIMEOUT_SECONDS = 900

MIRROR = """
set -eu
export SIGMIRROR_CONFIG=/state/sigmirror.toml
sigmirror init --folder /state/site --listen 127.0.0.1:0 --access open >/dev/null
sed -i 's|^access.*|&\\nmetrics_listen = ""|' /state/sigmirror.toml
mkdir /state/rules
echo 'rule a { strings: $a = "malware" condition: $a }' > /state/rules/a.yar
sigmirror publish inhouse /state/rules --redistribution public
sigmirror check-config | tail -1
/opt/cvdupdate/bin/cvd --help >/dev/null
touch /usr/written 2>/dev/null && echo 'its root can be written'
id -u
cp /state/site/r/site/metadata/1.root.json /state/root.json
exec sigmirror run 2> /state/log
"""
UPDATER = """
set -eu
cat > /state/sigupdate.toml <<TOML
mirrors = ["http://$1"]
state = "/state/host"
[[repository]]
name = "site"
root = "/state/root.json"
[[engine]]
name = "yara"
kind = "yara"
channels = ["inhouse"]
TOML
export SIGUPDATE_CONFIG=/state/sigupdate.toml
sigupdate run --install-only
touch /usr/written 2>/dev/null && echo 'its root can be written'
id -u
"""


def test_the_dockerfile_is_linted() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed: uv sync --all-extras --group chart")
    done = subprocess.run(
        [hadolint, PROJECT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_images_hold_what_the_project_ships_and_no_more() -> None:
    """What is not named in .dockerignore never gets near a builder: keys and credentials, too."""
    allowed = [
        line[1:]
        for line in (PROJECT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", (PROJECT / "Dockerfile").read_text())
    assert sorted(allowed) == sorted(name for line in copied for name in line.split())


@dataclass(frozen=True)
class Builder:
    """Images below one folder, without a daemon and without a registry."""

    folder: Path
    driver: str

    def buildah(self, *words: str) -> str:
        command = [
            "buildah", "--root", str(self.folder / "images"), "--runroot", str(self.folder / "run"),
            "--storage-driver", self.driver, *words,
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip()

    def base(self) -> str:
        """Make an image of Debian with python3."""
        tar = self.folder / "base.tar"
        subprocess.run(
            [
                "mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io",
                f"--include={PACKAGES}", "bookworm", tar,
            ],
            check=True, capture_output=True, timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
        container = self.buildah("from", "scratch")
        self.buildah("add", "-q", container, str(tar), "/")
        self.buildah("commit", "-q", "--rm", container, "localhost/base")
        return "localhost/base"

    def build(self, target: str, base: str) -> str:
        """Build one target; this machine's certificates stand in for those of a base image."""
        self.buildah(
            "bud", "-q", "--layers", "--isolation", "chroot", "--build-arg", f"BASE={base}",
            "--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--target", target,
            "--tag", f"localhost/{target}", str(PROJECT),
        )  # fmt: skip
        return f"localhost/{target}"

    def size(self, image: str) -> str:
        return self.buildah("images", "--format", "{{.Size}}", image)

    def command(self, image: str, state: Path, script: str, *words: str) -> list[str]:
        """Return what runs a script in an image: as its user, on a read-only root, one volume."""
        root = self.buildah("mount", self.buildah("from", image))
        inside = "; ".join(
            (
                "set -e",
                f"mount --bind {root} {root}",
                f"mkdir -p {root}/state",
                f"mount --bind {state} {root}/state",
                f"mount -t tmpfs tmpfs {root}{TEMPORARY}",
                f"mount --bind /dev {root}/dev",
                f"mount -o remount,bind,ro {root}",
                f'exec env -i PATH={PATH} HOME={TEMPORARY} "$@"',
            )
        )
        user = self.buildah("inspect", "--format", "{{.OCIv1.Config.User}}", image)
        chroot = ["chroot", f"--userspec={user}", root, "sh", "-c", script, "-", *words]
        return ["unshare", "--mount", "sh", "-c", inside, "-", *chroot]


def mounts(*words: str) -> int:
    """Run a command where what it mounts is seen by nobody else."""
    return subprocess.run(["unshare", "--mount", *words], check=False).returncode


def storage_driver(probe: Path) -> str:
    """Lay layers over each other where the kernel does that here; else copy them."""
    places = {name: probe / name for name in ("lower", "upper", "work", "merged")}
    for place in places.values():
        place.mkdir(parents=True)
    options = ",".join(f"{name}dir={places[name]}" for name in ("lower", "upper", "work"))
    overlay = ("mount", "-t", "overlay", "overlay", "-o", options, str(places["merged"]))
    return "vfs" if mounts(*overlay) else "overlay"


@pytest.fixture
def place() -> Iterator[Path]:
    """Provide a folder on a disk: systems and images are large, and have devices in them."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def builder(place: Path) -> Iterator[Builder]:
    if not (shutil.which("buildah") and shutil.which("mmdebstrap")):
        pytest.skip("buildah is not installed: apt-get install buildah mmdebstrap")
    if os.geteuid() != 0 or mounts("true") != 0:
        pytest.skip("only root who may mount can build images without a daemon")
    builder = Builder(place, storage_driver(place / "probe"))
    yield builder
    builder.buildah("umount", "--all")
    builder.buildah("rm", "--all")
    builder.buildah("rmi", "--all", "--force")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_both_images_build_and_work_together_as_their_user_on_a_read_only_root(
    builder: Builder, place: Path
) -> None:
    place.chmod(0o755)  # the image's user passes
    state = place / "state"
    state.mkdir()
    os.chown(state, 10001, 10001)
    began = time.monotonic()
    base = builder.base()
    made = {target: builder.build(target, base) for target in ("mirror", "updater")}
    for image in (base, *made.values()):
        print(f"{image}: {builder.size(image)}")
    print(f"built in {time.monotonic() - began:.0f} s")

    with subprocess.Popen(
        builder.command(made["mirror"], state, MIRROR), stdout=subprocess.PIPE, text=True
    ) as mirror:
        try:
            address = listening(mirror, state / "log")
            updated = subprocess.run(
                builder.command(made["updater"], state, UPDATER, address),
                capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS,
            )  # fmt: skip
        finally:
            mirror.terminate()
        told = mirror.communicate(timeout=60)[0]
    assert told.splitlines()[-2:] == ["no problems", "10001"]
    assert "yara: installed, generation 1 (inhouse 1)" in updated.stdout, updated.stderr
    assert updated.stdout.splitlines()[-1] == "10001"


def listening(mirror: "subprocess.Popen[str]", log: Path) -> str:
    """Wait until it listens; return its address."""
    end = time.monotonic() + 120
    while time.monotonic() < end and mirror.poll() is None:
        found = re.search(r'"address":"([^"]+)"', log.read_text()) if log.exists() else None
        if found:
            return found[1]
        time.sleep(0.1)
    raise AssertionError(log.read_text() if log.exists() else "it ended before it listened")

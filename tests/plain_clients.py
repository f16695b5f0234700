"""TUF clients of others, which know nothing of sigmirror, each with a trusted copy of its own."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater

TUF_JS = "tuf-js@5"
NPM_SECONDS = 120
READ_SECONDS = 60
_READ_JS = Path(__file__).parent / "tuf_js" / "read.cjs"


class RefusedByClientError(Exception):
    """The client did not believe what it was served."""


class PlainClient(Protocol):
    """A client of one repository; each ``read`` is a process or an object of its own."""

    def read(self, *targets: str) -> dict[str, str | None]:
        """Refresh, download, and tell each target's sha256, or None where it is not listed.

        Raises:
            RefusedByClientError: metadata or a target was refused.

        """
        ...


@dataclass(frozen=True)
class PythonTuf:
    """python-tuf's ngclient."""

    folder: Path
    url: str

    @classmethod
    def trusting(cls, root: bytes, folder: Path, url: str) -> "PythonTuf":
        _prepare(folder, root)
        return cls(folder, url)

    def read(self, *targets: str) -> dict[str, str | None]:
        try:
            client = Updater(
                str(self.folder / "metadata"), f"{self.url}/metadata/",
                str(self.folder / "targets"), f"{self.url}/targets/",
                bootstrap=(self.folder / "first-root.json").read_bytes(),
            )  # fmt: skip
            client.refresh()
            return {target: self._sha256(client, target) for target in targets}
        except (RepositoryError, DownloadError) as exc:
            raise RefusedByClientError(f"{type(exc).__name__}: {exc}") from exc

    @staticmethod
    def _sha256(client: Updater, target: str) -> str | None:
        info = client.get_targetinfo(target)
        if info is None:
            return None
        return hashlib.sha256(Path(client.download_target(info)).read_bytes()).hexdigest()


@dataclass(frozen=True)
class TufJs:
    """tuf-js in Node.js; ``modules`` is where npm installed it."""

    folder: Path
    url: str
    modules: Path

    @classmethod
    def trusting(cls, root: bytes, folder: Path, url: str, *, modules: Path) -> "TufJs":
        _prepare(folder, root)
        return cls(folder, url, modules)

    def read(self, *targets: str) -> dict[str, str | None]:
        metadata = (self.folder / "metadata", f"{self.url}/metadata")
        files = (self.folder / "targets", f"{self.url}/targets")
        done = subprocess.run(
            ["node", _READ_JS, self.modules, *metadata, *files, *targets],
            capture_output=True, text=True, check=False, timeout=READ_SECONDS,
        )  # fmt: skip
        if done.returncode:
            raise RefusedByClientError(done.stderr.strip())
        read: dict[str, str | None] = json.loads(done.stdout)
        return read


def _prepare(folder: Path, root: bytes) -> None:
    for name in ("metadata", "targets"):
        (folder / name).mkdir(parents=True)
    (folder / "first-root.json").write_bytes(root)
    (folder / "metadata/root.json").write_bytes(root)


def install_tuf_js(cache: Path) -> Path:
    """Install tuf-js once into a cache folder and return its modules, or skip the test."""
    modules = cache / TUF_JS
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("tuf-js is not installed: apt-get install npm")
    if not modules.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            _npm_install(Path(fresh))
            _keep(Path(fresh), modules)
    return modules


def _npm_install(folder: Path) -> None:
    quiet = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            ["npm", "install", *quiet, "--prefix", folder, TUF_JS],
            capture_output=True, text=True, check=False, timeout=NPM_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.skip(f"tuf-js is not installed: npm install {TUF_JS} (no answer in time)")
    if done.returncode:
        if os.environ.get("CI"):
            pytest.fail(f"npm install {TUF_JS}: {done.stderr}")
        pytest.skip(f"tuf-js is not installed: npm install {TUF_JS} (it failed here)")


def _keep(fresh: Path, modules: Path) -> None:
    try:
        fresh.rename(modules)
    except OSError:
        if not modules.is_dir():
            raise
        return  # another test process was faster
    fresh.mkdir()  # for the one who removes the temporary folder

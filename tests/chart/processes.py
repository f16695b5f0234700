"""A rendered pod as processes of this machine: its own command lines, with folders for its volumes.

Each container sees its own copy of the ConfigMaps, in which every path that is mounted stands for
the volume behind it.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.chart.chart import Document, Rendered, container

BIN = Path(sys.executable).parent  # where the images keep the console scripts first, too
TIMEOUT_SECONDS = 120
_SYSTEM = {"/", "/etc", "/run", "/srv", "/var", "/var/lib"}


@dataclass
class Pod:
    """One pod. ``files`` is what Secrets and ConfigMaps made elsewhere hold, by volume.

    ``secrets`` are those that a container has in its environment, by name and key.
    """

    folder: Path
    rendered: Rendered
    pod: Document
    files: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    edits: Mapping[str, str] = field(default_factory=dict)  # what is written otherwise here
    secrets: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for volume in self.pod["spec"]["volumes"]:
            place = self.volume(volume["name"])
            place.mkdir(parents=True, exist_ok=True)
            for name, data in self.files.get(volume["name"], {}).items():
                (place / name).write_bytes(data)

    def volume(self, name: str) -> Path:
        return self.folder / "volumes" / name

    def words(self, name: str) -> list[str]:
        """Return a container's command line, as it runs here."""
        one = container(self.pod, name)
        return [self._here(word, name) for word in [*one["command"], *one.get("args", [])]]

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a container to its end; or other words in it, as `kubectl exec` does."""
        return subprocess.run(
            words or self.words(name),
            env=self._environment(name),
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )

    def start(self, name: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a container; what it says goes to a file."""
        with log.open("wb") as output:
            return subprocess.Popen(
                self.words(name), env=self._environment(name), stdout=output, stderr=output
            )

    def path(self, name: str, mounted: str) -> Path:
        """Tell where a path of a container is here."""
        return Path(self._here(mounted, name))

    def _environment(self, name: str) -> dict[str, str]:
        own = {one["name"]: self._value(one) for one in container(self.pod, name).get("env", [])}
        inherited = {
            key: os.environ[key] for key in ("LANG", "PYTHONDONTWRITEBYTECODE") if key in os.environ
        }
        path = f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        configs = {
            f"SIG{which}_CONFIG": self._here(f"/etc/sigmirror/sig{which.lower()}.toml", name)
            for which in ("MIRROR", "UPDATE")
        }  # the one thing that is not written in the manifest: the path that the commands look at
        return {**inherited, **own, **configs, "PATH": path}

    def _value(self, variable: Document) -> str:
        value: str | None = variable.get("value")
        if value is not None:
            return value
        secret = variable["valueFrom"]["secretKeyRef"]
        return self.secrets[secret["name"], secret["key"]]

    def _mounts(self, name: str) -> dict[str, Path]:
        """List what a container sees by its path: volumes, and the folders that only hold them."""
        found = {}
        for mount in container(self.pod, name)["volumeMounts"]:
            volume = next(v for v in self.pod["spec"]["volumes"] if v["name"] == mount["name"])
            place = self.volume(mount["name"]) / mount.get("subPath", "")
            if mount["name"] == "config":
                place = self.folder / "configs" / name / volume["configMap"]["name"]
            found[mount["mountPath"]] = place
        return self._holders(name, found) | found

    def _holders(self, name: str, mounts: Mapping[str, Path]) -> dict[str, Path]:
        """Lay out folders above mounts, each mount a link in its own."""
        tree = self.folder / "trees" / name
        found: dict[str, Path] = {}
        for path, place in mounts.items():
            above = {str(parent) for parent in Path(path).parents} - _SYSTEM
            found |= {one: tree / one[1:] for one in above}
            link = tree / path[1:]
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(place)
        return found

    def _here(self, text: str, name: str) -> str:
        mounts = self._mounts(name)
        for one in self.pod["spec"]["volumes"]:
            if one["name"] == "config":
                self._lay_out(one["configMap"]["name"], name, mounts)
        return self._translated(text, mounts)

    def _lay_out(self, config: str, name: str, mounts: Mapping[str, Path]) -> None:
        folder = self.folder / "configs" / name / config
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in self.rendered.one("ConfigMap", config)["data"].items():
            (folder / file).write_text(self._translated(text, mounts))

    def _translated(self, text: str, mounts: Mapping[str, Path]) -> str:
        longest_first = map(re.escape, sorted(mounts, key=len, reverse=True))
        paths = re.compile(rf"(?<![\w.-])(?:{'|'.join(longest_first)})(?![\w-])")
        text = paths.sub(lambda found: str(mounts[found[0]]), text)
        for written, here in self.edits.items():
            text = text.replace(written, here)
        return text

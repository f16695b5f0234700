"""Where repositories lie, as commands that move them are told: settings, a folder, a bucket."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keys.errors import UsageError
from mirror.cli.options import open_site
from mirror.settings import Settings, StoreSettings, problems
from mirror.site import MirrorSite
from mirror.storage import Store, open_store


@dataclass(frozen=True, slots=True)
class Place:
    """A store; the mirror that goes with it, where its settings were named."""

    shown: str
    store: Store
    scratch: Path
    site: MirrorSite | None = None

    def is_same_as(self, other: "Place") -> bool:
        """Tell whether another place is this one, by whatever name."""
        return _resolved(self.shown) == _resolved(other.shown)

    def mirror(self, what: str) -> MirrorSite:
        """Return the mirror.

        Raises:
            UsageError: only a store was named.

        """
        if self.site is None:
            raise UsageError(
                f"{self.shown}: {what} needs the mirror's settings and keys, not only its store",
                hint="name its settings file, such as /etc/sigmirror/sigmirror.toml",
            )
        return self.site


@contextlib.contextmanager
def open_place(text: str, *, endpoint: str, region: str) -> Iterator[Place]:
    """Open what an operator names; ``endpoint`` and ``region`` are those of a bucket's URL.

    Raises:
        SettingsError: it is none of it, or its settings cannot be followed.

    """
    if text.endswith(".toml"):
        site = open_site(Path(text))
        shown = _shown(site.settings.store)
        yield Place(shown, site.store, site.folder / "quarantine", site)
    elif "://" in text:
        with tempfile.TemporaryDirectory(prefix="sigmirror-") as folder:
            yield _named(text, folder, endpoint, region)
    else:
        path = Path(text).absolute()
        yield Place(f"file://{path}", open_store(StoreSettings(f"file://{path}")), _scratch(path))


def _named(url: str, folder: str, endpoint: str, region: str) -> Place:
    if not url.startswith("s3://"):
        store = StoreSettings(url)
        return Place(url, open_store(store), _scratch(Path(url.removeprefix("file://"))))
    store = StoreSettings(url, folder, endpoint, region)
    for problem in problems(Settings(store=store)):
        raise problem
    return Place(_shown(store), open_store(store), Path(folder))


def _scratch(folder: Path) -> Path:
    return folder / "quarantine"


def _resolved(shown: str) -> str:
    """Write a folder as it is called without links and detours."""
    folder = shown.removeprefix("file://")
    return shown if folder == shown else f"file://{Path(folder).resolve()}"


def _shown(store: StoreSettings) -> str:
    return f"{store.url.rstrip('/')} at {store.endpoint}" if store.endpoint else store.url

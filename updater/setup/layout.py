"""Where things lie on a Debian host, and who owns them."""

from dataclasses import dataclass
from pathlib import Path

from keys import settings as files
from keys.errors import StateError, UsageError
from updater.settings import EngineSettings, Settings
from updater.setup.host import Host

CONFIG = "/etc/sigmirror/sigupdate.toml"
CLAMD_CONFIG = "/etc/clamav/clamd.conf"
FRESHCLAM_CONFIG = "/etc/clamav/freshclam.conf"
FRESHCLAM_CRON = "/etc/cron.d/clamav-freshclam"
DATABASES = "/var/lib/clamav"
FOLDER = f"{DATABASES}/sigmirror"
OVERLAY = "/etc/sigmirror/overlay"
JOURNAL_FOLDER = "/var/lib/sigmirror-setup"
JOURNAL = f"{JOURNAL_FOLDER}/clamd.json"
USER = "sigupdate"
SOCKET = "/run/clamav/clamd.ctl"
PROFILE = "/etc/apparmor.d/usr.sbin.clamd"
LOCAL_PROFILE = "/etc/apparmor.d/local/usr.sbin.clamd"
ENGINE_UNITS = ("clamav-daemon.service", "clamav-daemon.socket")
FRESHCLAM_UNITS = (
    "clamav-freshclam.service",
    "clamav-freshclam-once.service",
    "clamav-freshclam-once.timer",
)


@dataclass(frozen=True, slots=True)
class Account:
    """A static user of the host."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """What the operator may choose about the engine's place on the host."""

    folder: str = FOLDER
    overlay: str = OVERLAY
    clamd_config: str = CLAMD_CONFIG
    socket: str = SOCKET
    user: str = USER
    state: str = "/var/lib/sigupdate"
    memory_per_byte: float = 4.0
    unsaid: tuple[str, ...] = ()  # lines the settings lack for the updater to agree with this

    @property
    def current(self) -> str:
        """What clamd reads."""
        return f"{self.folder}/current"


def chosen(settings: Settings | None, engine: str = "") -> Layout:
    """Take the layout from the settings where they say something, else Debian's usual one.

    Raises:
        UsageError: several engines of kind clamd and no name, or no such engine.

    """
    if settings is None:
        return Layout(unsaid=(f"{CONFIG} itself",))
    found = [e for e in settings.engine if e.kind == "clamd" and engine in {"", e.name}]
    if len(found) > 1:
        names = ", ".join(e.name for e in found)
        raise UsageError(f"several engines of kind clamd: {names}", hint="choose with --engine")
    if engine and not found:
        raise UsageError(f"engine {engine!r}: the settings have no engine clamd of this name")
    own = found[0] if found else EngineSettings(name="clamd", kind="clamd", channels=())
    said = ((own.folder, "folder", FOLDER), (own.overlay, "overlay", OVERLAY))
    return Layout(
        folder=own.folder or FOLDER,
        overlay=own.overlay or OVERLAY,
        clamd_config=own.clamd_config or CLAMD_CONFIG,
        socket=own.socket or SOCKET,
        user=settings.user or USER,
        state=settings.state,
        memory_per_byte=own.memory_per_definition_byte,
        unsaid=tuple(
            f'{key} = "{usual}"'
            for value, key, usual in (*said, (settings.user, "user", USER))
            if not value
        ),
    )


def read_settings(host: Host, config: Path | None) -> Settings | None:
    """Read the updater's settings, or None where none were written yet."""
    path = config or host.at(CONFIG)
    if config is None and not path.exists():
        return None
    return files.load(path, Settings)


def account(host: Host, name: str) -> Account | None:
    """Look a static user up in the host's own files.

    Raises:
        StateError: a line of /etc/passwd or /etc/group is malformed.

    """
    found = [line.split(":") for line in host.text("/etc/passwd").splitlines()]
    fields = next((line for line in found if line[0] == name), None)
    if fields is None:
        return None
    groups = [line.split(":") for line in host.text("/etc/group").splitlines()]
    try:
        member = tuple(int(g[2]) for g in groups if name in g[3].split(","))
        return Account(name, int(fields[2]), int(fields[3]), member)
    except (IndexError, ValueError) as exc:
        raise StateError(f"/etc/passwd, /etc/group: malformed near user {name!r}") from exc

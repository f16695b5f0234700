"""Where a plain host's clamd keeps its things, as its own settings say."""

from dataclasses import dataclass
from pathlib import Path

from keys.errors import SettingsError
from updater.engines.clamd_config import ClamdConfig
from updater.engines.instream import Address

CONFIGS = (
    "/etc/clamav/clamd.conf",
    "/etc/clamd.d/scan.conf",
    "/etc/clamd.conf",
    "/usr/local/etc/clamav/clamd.conf",
    "/usr/local/etc/clamd.conf",
)
DATABASES = "/var/lib/clamav"
SELF_CHECK_SECONDS = 600  # clamd's own default


@dataclass(frozen=True, slots=True)
class PlainClamd:
    """One clamd; ``config`` is None where its settings were not found."""

    address: Address
    databases: Path
    config: Path | None
    pid_file: Path | None
    official_only: bool
    concurrent: bool
    runs_command: bool  # a detection runs a command of the operator's
    self_check_seconds: int

    @classmethod
    def find(cls, config: Path | None, socket: str) -> "PlainClamd":
        """Read clamd's settings: those named, or else those where distributions have them.

        Raises:
            SettingsError: there are none, they cannot be read, or they name no socket.

        """
        path = config or next((Path(one) for one in CONFIGS if Path(one).is_file()), None)
        if path is None and not socket:
            raise SettingsError(
                f"no clamd.conf: looked for {', '.join(CONFIGS)}",
                hint="name it with --clamd-config, or where clamd listens with --socket",
            )
        found = ClamdConfig.load(path) if path else ClamdConfig({})
        pid_file = found.text("PidFile")
        return cls(
            address=Address.parse(socket or _socket(found, path)),
            databases=Path(found.text("DatabaseDirectory", DATABASES)),
            config=path,
            pid_file=Path(pid_file) if pid_file else None,
            official_only=found.flag("OfficialDatabaseOnly", default=False),
            concurrent=found.flag("ConcurrentDatabaseReload", default=True),
            runs_command=bool(found.text("VirusEvent")),
            self_check_seconds=found.size("SelfCheck", SELF_CHECK_SECONDS),
        )


def _socket(found: ClamdConfig, path: Path | None) -> str:
    if own := found.text("LocalSocket"):
        return own
    if port := found.text("TCPSocket"):
        return f"{found.text('TCPAddr', '127.0.0.1')}:{port}"
    raise SettingsError(f"{path}: neither LocalSocket nor TCPSocket", hint="use --socket")

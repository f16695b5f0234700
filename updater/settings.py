"""What an operator writes for a scanner host; docs/operations.md explains each key."""

from typing import Literal

from keys.settings import Count, Duration, Factor, Positive, Seconds, SecondsOrNone, Table


class RepositorySettings(Table, frozen=True):
    """One repository to believe in: its name on the mirrors and its trusted root file."""

    name: str
    root: str
    policy: str = ""  # name of the repository whose policy role chooses releases, e.g. "site"


class EngineSettings(Table, frozen=True):
    """One scanner on this host.

    A channel is written ``NAME`` (the first configured repository) or ``REPOSITORY/NAME``.
    """

    name: str
    kind: Literal["clamd", "yara", "command"]
    channels: tuple[str, ...]
    track: str = "stable"
    folder: str = ""  # default: <state>/engines/<name>; generations and `current` lie in it
    vendor_check: bool = True  # .cvd and .cld: verify the vendor's signature on this host, too
    may_suppress: tuple[str, ...] = ()  # channels whose files may switch detections off
    may_ignore: bool = False  # the site's emergency ignore list may switch off single detections
    overlay: str = ""  # folder of the host's own definitions
    must_detect: str = ""
    must_pass: str = ""
    socket: str = ""  # clamd, yara: unix socket path or HOST:PORT
    clamd_config: str = ""  # clamd: read to warn about settings that break a reload
    clamscan: str = "clamscan"
    memory_per_definition_byte: Factor = 4.0  # clamd: what a second engine needs; 0: no check
    externals: tuple[str, ...] = ("filename", "filepath", "extension", "filetype", "owner", "md5")
    test_command: tuple[str, ...] = ()  # command: {folder} is replaced
    reload_command: tuple[str, ...] = ()
    probe_command: tuple[str, ...] = ()
    prove_command: tuple[str, ...] = ()  # sample bytes on stdin
    marker_template: str = ""  # command: {name} and {text} are replaced
    marker_file: str = ""  # command: e.g. "{name}.rules"
    test_timeout_seconds: Seconds = 300
    scan_timeout_seconds: Duration = 10.0
    reload_timeout_seconds: Seconds = 120
    keep_generations: Positive = 3


class ReportSettings(Table, frozen=True):
    """What the mirror is told of this host, where the host has a credential."""

    enabled: bool = True
    member: str = ""  # with a pool's credential: this one's own name; {hostname} is replaced
    heartbeat_seconds: Seconds = 300  # daemon: between two reports, runs or not
    detections_command: tuple[str, ...] = ()  # prints how many detections there were
    seats_command: tuple[str, ...] = ()  # prints how many seats are in use
    command_timeout_seconds: Duration = 10.0


class TaskSettings(Table, frozen=True):
    """What this host does when its site asks; `rollback` only where it is named here."""

    accept: tuple[Literal["update", "prove", "verify", "rollback", "report"], ...] = (
        "update",
        "prove",
        "verify",
        "report",
    )


class Limits(Table, frozen=True):
    """What no mirror can make this host exceed."""

    max_release_bytes: Positive = 4 << 30
    max_metadata_bytes: Positive = 8 << 20
    max_run_seconds: Seconds = 3600
    connect_timeout_seconds: Duration = 10.0
    read_timeout_seconds: Duration = 30.0
    min_rate_bytes_per_second: Count = 256
    max_bytes_per_second: Count = 0  # 0: no bandwidth limit
    max_attempts: Positive = 3


class RemoteSettings(Table, frozen=True):
    """What this host lets its site set; keys as docs/operations.md lists them."""

    allow: tuple[str, ...] = ("safe",)  # "safe", keys by name, "engine.*.KEY"; none: nothing


class MetricsSettings(Table, frozen=True):
    """What monitoring is shown of this host."""

    textfile: str = ""  # for node_exporter, such as /var/lib/prometheus/node-exporter/x.prom


class Settings(Table, frozen=True):
    """sigupdate.toml."""

    mirrors: tuple[str, ...]
    credential_file: str = ""
    state: str = "/var/lib/sigupdate"
    user: str = ""  # run as this user when started by root
    ca_file: str = ""
    proxy: str = ""  # empty: none; "environment": the *_proxy variables
    jitter_seconds: SecondsOrNone = 0
    interval_seconds: Seconds = 900  # daemon
    turns: Count = 0  # daemon: hosts share the interval out among so many; 0: whenever it started
    limits: Limits = Limits()
    report: ReportSettings = ReportSettings()
    tasks: TaskSettings = TaskSettings()
    remote_settings: RemoteSettings = RemoteSettings()
    metrics: MetricsSettings = MetricsSettings()
    repository: tuple[RepositorySettings, ...] = ()
    engine: tuple[EngineSettings, ...] = ()

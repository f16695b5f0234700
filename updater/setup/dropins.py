"""The unit files set-up writes, and the commands that make systemd see them."""

from updater.setup import layout
from updater.setup.layout import Layout

_UNITS = "/etc/systemd/system"
_HEAD = "# Written by `sigupdate setup clamd`; `sigupdate setup clamd --undo` takes it away.\n"


def paths() -> tuple[str, ...]:
    """List the drop-ins, whatever their content."""
    engine = tuple(f"{_UNITS}/{unit}.d/sigmirror.conf" for unit in layout.ENGINE_UNITS)
    return (*engine, f"{_UNITS}/sigupdate.service.d/clamd.conf")


def masks() -> tuple[str, ...]:
    """List the links that keep freshclam's units from being started."""
    return tuple(f"{_UNITS}/{unit}" for unit in layout.FRESHCLAM_UNITS)


def texts(place: Layout) -> dict[str, str]:
    """Write the drop-ins: clamd starts on our generations, the updater may write them."""
    service, socket, updater = paths()
    start = f"{_HEAD}{_start(place)}"
    return {service: start, socket: start, updater: f"{_HEAD}{_updater(place)}"}


def _start(place: Layout) -> str:
    """Replace every start condition (an empty one clears them all) by the folder clamd reads."""
    return f"[Unit]\nConditionPathExists=\nConditionPathExists={place.current}/\n"


def _updater(place: Layout) -> str:
    """Let the updater speak to a socket of group clamav and write the engine's folder.

    One writable tree above both blobs and generations: two would be two mounts, between which
    no hard link is possible, and each generation would be a full copy.
    """
    tree = "/var/lib" if place.folder.startswith("/var/lib/") else place.folder
    return (
        "[Unit]\nAfter=clamav-daemon.service\n\n"
        "[Service]\nSupplementaryGroups=clamav\n"
        "# State and generations below one writable tree: hard links do not cross mounts.\n"
        f"ReadWritePaths={tree}\n"
    )


def commands_after(*, changed: bool) -> tuple[tuple[str, ...], ...]:
    """List what systemd has to be told after set-up."""
    if not changed:
        return ()
    return (
        ("systemctl", "daemon-reload"),
        ("systemctl", "stop", *layout.FRESHCLAM_UNITS),
    )


def commands_after_undo(*, wanted: bool) -> tuple[tuple[str, ...], ...]:
    """List what systemd has to be told after an undo; ``wanted``: freshclam is enabled."""
    start = (("systemctl", "start", layout.FRESHCLAM_UNITS[0]),) if wanted else ()
    return (("systemctl", "daemon-reload"), *start)

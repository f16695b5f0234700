"""What systemd makes of a unit and its drop-ins: which start conditions are in force."""

from collections.abc import Iterator, Sequence

from updater.setup.host import Host, Link

UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)


def conditions(fragments: Sequence[str]) -> tuple[str, ...]:
    """List the conditions left when a unit and its drop-ins are read in this order.

    An empty assignment of any condition clears every condition before it (systemd.unit(5)).
    """
    found: list[str] = []
    for name, assigned in (line for text in fragments for line in _assignments(text, "Unit")):
        if not name.startswith("Condition"):
            continue
        if assigned:
            found.append(f"{name}={assigned}")
        else:
            found.clear()
    return tuple(found)


def _assignments(text: str, section: str) -> Iterator[tuple[str, str]]:
    current = ""
    for line in text.replace("\\\n", " ").splitlines():
        plain = line.strip()
        if plain.startswith("[") and plain.endswith("]"):
            current = plain[1:-1]
        elif current == section and "=" in plain and plain[0] not in "#;":
            name, _, assigned = plain.partition("=")
            yield name.strip(), assigned.strip()


def fragments(host: Host, unit: str) -> tuple[str, ...]:
    """Read a unit and its drop-ins in systemd's order: by file name, first folder wins."""
    dropins: dict[str, str] = {}
    for folder in reversed(UNIT_FOLDERS):
        for name in host.names(f"{folder}/{unit}.d"):
            if name.endswith(".conf"):
                dropins[name] = f"{folder}/{unit}.d/{name}"
    bodies = (host.text(f"{folder}/{unit}") for folder in UNIT_FOLDERS)
    body = next((text for text in bodies if text), "")
    return (body, *(host.text(dropins[name]) for name in sorted(dropins)))


def is_masked(host: Host, unit: str) -> bool:
    """Tell whether a unit cannot be started by anyone."""
    return host.read(f"/etc/systemd/system/{unit}") == Link("/dev/null")

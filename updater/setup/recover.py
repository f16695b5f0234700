"""What set-up must have changed, told from a host whose journal is gone."""

from updater.setup import directives, dropins, layout
from updater.setup.host import Absent, AnyEntry, Folder, Host, Link, Regular
from updater.setup.journal import Change, Journal
from updater.setup.layout import Layout

_HUSHED = "# NotifyClamd "  # as set-up leaves the line of freshclam.conf


def journal(host: Host, place: Layout) -> Journal:
    """Write the journal anew, with Debian's own values as what stood there before.

    An empty one where neither clamd's settings nor a drop-in are as set-up writes them: links and
    comments alone may be an administrator's.
    """
    sure = (*_dropins(host, place), *_clamd(host, place))
    if not sure:
        return Journal()
    return Journal(changes=(*_folders(host, place), *_masks(host), *sure, *_freshclam(host)))


def _dropins(host: Host, place: Layout) -> tuple[Change, ...]:
    found = {path: host.read(path) for path in dropins.paths()}
    texts = dropins.texts(place)
    return tuple(
        Change(path, Absent(), entry)
        for path, entry in found.items()
        if isinstance(entry, Regular) and entry.text() == texts[path]
    )


def _clamd(host: Host, place: Layout) -> tuple[Change, ...]:
    entry = host.read(place.clamd_config)
    if not isinstance(entry, Regular):
        return ()
    text = entry.text()
    if directives.value(text, "DatabaseDirectory") != place.current:
        return ()
    before = directives.with_value(text, "DatabaseDirectory", layout.DATABASES)
    return (Change(place.clamd_config, entry.with_text(before), entry),)


def _freshclam(host: Host) -> tuple[Change, ...]:
    entry = host.read(layout.FRESHCLAM_CONFIG)
    if not isinstance(entry, Regular) or directives.value(entry.text(), "NotifyClamd") is not None:
        return ()
    lines = entry.text().splitlines(keepends=True)
    before = [line.removeprefix("# ") if line.startswith(_HUSHED) else line for line in lines]
    if before == lines:
        return ()
    return (Change(layout.FRESHCLAM_CONFIG, entry.with_text("".join(before)), entry),)


def _masks(host: Host) -> tuple[Change, ...]:
    link = Link("/dev/null")
    return tuple(Change(p, Absent(), link) for p in dropins.masks() if host.read(p) == link)


def _folders(host: Host, place: Layout) -> tuple[Change, ...]:
    """List folders that are ours alone; one that holds anything else stays."""
    own = (*(path.rpartition("/")[0] for path in dropins.paths()[1:]), place.folder)
    found: dict[str, AnyEntry] = {path: host.read(path) for path in own}
    return tuple(
        Change(path, Absent(), entry) for path, entry in found.items() if isinstance(entry, Folder)
    )

"""The pages below ``/files/`` for people: plain HTML that asks for nothing more (pure)."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from html import escape

from mirror.web.native.listing import ChannelPage, Edition, Listed, ReleasePage, RootPage
from mirror.web.native.plain import LATEST, PUBLIC_KEY, link
from mirror.web.native.shelf import CHECKSUM, SIGNATURE

MAX_FILES_ON_ROOT = 200  # of each channel of programs or documents

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body{{font:15px/1.5 sans-serif;margin:2em;max-width:80em}}
table{{border-collapse:collapse}}
td,th{{padding:.2em 1em .2em 0;text-align:left;vertical-align:top}}
tr+tr td{{border-top:1px solid #ccc}}
code{{overflow-wrap:anywhere}}
</style></head><body>
<h1>{title}</h1>
"""
_TAIL = "</body></html>\n"
_GROUPS = (("programs", "Programs"), ("documents", "Documents"))


def root_html(page: RootPage) -> str:
    """Write the page of all channels: programs and documents to take, then definitions."""
    return "".join((_HEAD.format(title="Downloads"), *_root(page), _TAIL))


def _root(page: RootPage) -> Iterator[str]:
    for content, title in _GROUPS:
        if found := [one for one in page.channels if one.content == content]:
            yield f"<h2>{title}</h2>\n"
            for one in found:
                yield f'<h3><a href="{_to(one.channel)}/">{escape(one.channel)}</a></h3>\n'
                yield from _files(one.files[:MAX_FILES_ON_ROOT], f"{one.channel}/{LATEST}/")
                yield from _more(one)
    if found := [one for one in page.channels if one.content == "definitions"]:
        yield "<h2>Definitions</h2>\n"
        yield from _table(("Channel", "Engine", "Release", "Published"), map(_channel_row, found))
    if not page.channels:
        yield "<p>There is nothing here for you yet.</p>\n"


def _more(page: ReleasePage) -> Iterator[str]:
    left = len(page.files) - MAX_FILES_ON_ROOT
    if left > 0:
        yield f'<p><a href="{_to(page.channel)}/{LATEST}/">{left} more</a></p>\n'


def _channel_row(page: ReleasePage) -> tuple[str, ...]:
    name = f'<a href="{_to(page.channel)}/">{escape(page.channel)}</a>'
    return name, escape(page.engine), escape(page.release), _time(page.published)


def channel_html(page: ChannelPage) -> str:
    """Write a channel's page: the latest release's files, and every release."""
    latest = page.latest
    return "".join(
        (
            _HEAD.format(title=escape(page.channel)),
            '<p><a href="../">All channels</a></p>\n',
            f'<h2><a href="./{LATEST}/">Latest: {escape(latest.release)}</a></h2>\n',
            *_key(latest),
            *_files(latest.files, f"{LATEST}/"),
            "<h2>Releases</h2>\n",
            *_table(("Number", "Release", "Published", "Assurance"), map(_edition, page.releases)),
            _TAIL,
        )
    )


def _edition(edition: Edition) -> tuple[str, ...]:
    number = f'<a href="./{edition.sequence}/">{edition.sequence}</a>'
    return number, escape(edition.release), _time(edition.published), edition.assurance


def release_html(page: ReleasePage) -> str:
    """Write a release's page."""
    return "".join(
        (
            _HEAD.format(title=f"{escape(page.channel)}: {escape(page.release)}"),
            f'<p><a href="../">All releases</a>; this is number {page.sequence}, ',
            f"published {_time(page.published)}</p>\n",
            *_key(page),
            *_files(page.files, ""),
            _TAIL,
        )
    )


def _key(page: ReleasePage) -> Iterator[str]:
    if page.public_key:
        yield f'<p>Signatures are by <a href="./{PUBLIC_KEY}">{PUBLIC_KEY}</a>.</p>\n'


def _files(files: Iterable[Listed], below: str) -> Iterator[str]:
    titles = ("File", "Version", "Size", "Date", "SHA-256", "")
    return _table(titles, (_file(file, below) for file in files))


def _file(file: Listed, below: str) -> tuple[str, ...]:
    address = _to(below + file.path)
    beside = [f'<a href="{address}{CHECKSUM}">sha256</a>']
    if file.signed:
        beside.append(f'<a href="{address}{SIGNATURE}">minisig</a>')
    return (
        f'<a href="{address}">{escape(file.path)}</a>',
        escape(file.version),
        f'<span title="{file.length} bytes">{size(file.length)}</span>',
        _time(file.published),
        f"<code>{file.sha256}</code>",
        " ".join(beside),
    )


def _table(titles: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Write a table; cells are HTML."""
    yield "<table>\n<tr>" + "".join(f"<th>{title}</th>" for title in titles) + "</tr>\n"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n"
    yield "</table>\n"


def _to(path: str) -> str:
    return escape(link(path))


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def size(length: int) -> str:
    """Write a length for people."""
    amount, units = float(length), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    return f"{length} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"

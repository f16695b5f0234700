"""`sigmirror publish` and `sigmirror point`: releases and tracks by an operator's own hand."""

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import get_args

import click

from keys import files
from keys.errors import StateError
from keys.model.release import Content, Redistribution
from mirror.cli.options import (
    config_option,
    json_option,
    now,
    open_site,
    optional_reason_option,
    order,
    print_json,
)
from mirror.cli.progress import progress
from mirror.feeds import UpstreamSettings
from mirror.intake import Label
from mirror.publish import Published
from mirror.rollout import STABLE
from mirror.site import MirrorSite
from mirror.upstream.base import Pull
from mirror.upstream.drop import DropUpstream


@click.command(epilog="Example: sigmirror publish inhouse /srv/rules --track canary")
@config_option
@json_option
@click.option("--track", default=STABLE, show_default=True, help="The track to point at it.")
@click.option("--engine", help="What the files are for, noted in the manifest.")
@click.option(
    "--content",
    type=click.Choice(get_args(Content)),
    help="What the files are: programs and documents are for people, no engine installs them.",
)
@click.option(
    "--redistribution",
    type=click.Choice(get_args(Redistribution)),
    help="Who may be served the files.",
)
@click.option("--allow-shrink", is_flag=True, help="Publish a release that shrinks all the same.")
@optional_reason_option
@click.argument("channel")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
def publish(  # noqa: PLR0913 - a command's options
    *, config: Path, as_json: bool, track: str, engine: str | None, content: Content | None,
    redistribution: Redistribution | None, allow_shrink: bool, reason: str, channel: str,
    folder: Path,
) -> None:  # fmt: skip
    """Publish the files of FOLDER as the next release of CHANNEL.

    Files equal to the latest release's publish nothing; the track is pointed at that release. A
    release that shrinks below the channel's hold_below_percent is refused.
    What is not said here is as the channel's upstream in the settings says.
    """
    site = open_site(config)
    settings = _upstream(site, channel)
    label = Label(
        settings.engine if engine is None else engine,
        content or settings.content,
        redistribution or settings.shared_with,
    )
    below = 0 if allow_shrink else settings.hold_below_percent
    release = partial(
        site.publishing.holding(below).release, channel=channel, track=track, label=label,
        by=order(f"sigmirror publish {channel}", reason), move_track=True,
    )  # fmt: skip
    with progress(channel, wanted=not as_json) as on_bytes:
        published = asyncio.run(_publish(site, folder, Pull(now(), on_bytes=on_bytes), release))
    _tell(published, as_json=as_json)


def _upstream(site: MirrorSite, channel: str) -> UpstreamSettings:
    """Return what the settings say of a channel's releases, or the defaults."""
    for upstream in site.settings.upstream:
        if upstream.channel == channel:
            return upstream
    return UpstreamSettings(name=channel)


async def _publish(
    site: MirrorSite, folder: Path, pull: Pull, release: Callable[..., Awaitable[Published]]
) -> Published:
    settings = UpstreamSettings(name="by-hand", kind="drop", folder=str(folder), quiet_seconds=0.0)
    with _quarantine(site.folder / "quarantine") as brought:
        return await release(await DropUpstream(settings).fetch(brought, pull), now=pull.now)


@contextlib.contextmanager
def _quarantine(parent: Path) -> Iterator[Path]:
    """Provide a folder for the length of the block."""
    try:
        files.make_folder(parent)
        folder = tempfile.TemporaryDirectory(prefix=files.TEMPORARY_PREFIX, dir=parent)
    except OSError as exc:
        raise StateError(f"{parent}: {exc.strerror or exc}") from exc
    with folder:
        yield Path(folder.name)


@click.command(epilog="Example: sigmirror point inhouse stable 41 --reason 'false positives in 42'")
@config_option
@json_option
@optional_reason_option
@click.argument("channel")
@click.argument("track")
@click.argument("sequence", type=int)
def point(
    *, config: Path, as_json: bool, reason: str, channel: str, track: str, sequence: int
) -> None:
    """Point TRACK of CHANNEL at the release SEQUENCE: promote it, or roll back to it.

    CHANNEL is one of this site's own; `promote`, `withdraw` and `pin` move those passed on, too.
    """
    site = open_site(config)
    by = order(f"sigmirror point {channel}", reason)
    moving = site.publishing.point(channel, track, sequence, by=by, now=now())
    _tell(asyncio.run(moving), as_json=as_json)


def _tell(published: Published, *, as_json: bool) -> None:
    if as_json:
        print_json(published)
        return
    state = "published" if published.changed else "unchanged"
    click.echo(
        f"{published.channel}: {state}; {published.track} is release {published.sequence} "
        f"({published.release}), {published.new_bytes} new bytes"
    )

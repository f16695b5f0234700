"""`sigmirror copy` and `sigmirror unseal`: repositories from one store to another."""

import asyncio
import contextlib
from collections.abc import Iterator

import click
import msgspec

from keys.console import text
from keys.errors import UsageError
from mirror.cli.options import json_option, now, optional_reason_option, order, print_json
from mirror.cli.places import Place, open_place
from mirror.cli.progress import progress
from mirror.cli.public import PublicCopy
from mirror.fleet.ledger import move
from mirror.handover import Handing, take_back
from mirror.repository import StoredRepository
from mirror.transfer import Copied, Transfer

endpoint_option = click.option(
    "--endpoint", default="", help="URL of the object store of s3:// addresses, if not Amazon's."
)
region_option = click.option("--region", default="", help="Its region.")


class _Outcome(msgspec.Struct, frozen=True):
    changed: bool
    handed_over: str
    repositories: list[Copied]
    left_out: list[str]


@click.command(epilog="Example: sigmirror copy sigmirror.toml /etc/sigmirror/new.toml --handover")
@endpoint_option
@region_option
@click.option("--handover", is_flag=True, help="SRC signs no more; whoever has DST does.")
@click.option("--public", is_flag=True, help="Everybody can read DST: refuse what is not for all.")
@click.option(
    "--leave-out", multiple=True, metavar="NAME",
    help="With --public: a channel, or a repository passed on, whose files are not copied.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Tell what would be copied; write nothing.")
@optional_reason_option
@json_option
@click.argument("src")
@click.argument("dst")
def copy(  # noqa: PLR0913 - a command's options
    *, src: str, dst: str, endpoint: str, region: str, handover: bool, public: bool,
    leave_out: tuple[str, ...], dry_run: bool, reason: str, as_json: bool,
) -> None:  # fmt: skip
    """Copy the repositories in force at SRC to DST, every byte verified on the way.

    SRC and DST are each a mirror's settings file (*.toml), a folder, or s3://BUCKET/PREFIX. What
    DST holds already is not sent again: a copy that was cut goes on with the same command. Keys and
    the rest of the state folder are not copied.

    With --handover, for which both are settings files, the mirror of SRC publishes, pulls and signs
    nothing any more and goes on serving, and that of DST knows its hosts and customers; the same
    command the other way hands it back.
    """
    if handover and (dry_run or public):
        raise UsageError("--handover: neither with --dry-run nor with --public")
    if leave_out and not public:
        raise UsageError("--leave-out: only with --public: any other copy is whole")
    with _places(src, dst, endpoint, region) as (source, target):
        with progress(target.shown, wanted=not as_json) as on_bytes:
            transfer = Transfer(source.store, target.store, target.scratch, on_bytes, dry_run)
            if handover:
                work = _hand_over(transfer, source, target, reason)
            elif public:
                settings = source.mirror("--public").settings
                work = PublicCopy(transfer, settings, frozenset(leave_out)).run()
            else:
                work = _copy(transfer)
            copied = asyncio.run(work)
        outcome = _Outcome(
            any(one.objects for one in copied), target.shown if handover else "", copied,
            sorted(leave_out),
        )  # fmt: skip
    _tell(outcome, as_json=as_json, dry_run=dry_run)


async def _copy(transfer: Transfer) -> list[Copied]:
    return [await transfer.copy(name) for name in await transfer.repositories()]


async def _hand_over(transfer: Transfer, source: Place, target: Place, reason: str) -> list[Copied]:
    names = await transfer.repositories()
    old, new = source.mirror("--handover"), target.mirror("--handover")
    handing = Handing(
        transfer, old.editions, names, source.shown, target.shown,
        bring=lambda: move(old.settings, new.settings),
    )  # fmt: skip
    return await handing.over(order("sigmirror copy --handover", reason), now=now())


@contextlib.contextmanager
def _places(src: str, dst: str, endpoint: str, region: str) -> Iterator[tuple[Place, Place]]:
    with (
        open_place(src, endpoint=endpoint, region=region) as source,
        open_place(dst, endpoint=endpoint, region=region) as target,
    ):
        if source.is_same_as(target):
            raise UsageError(f"{source.shown}: source and destination are the same place")
        yield source, target


def _tell(outcome: _Outcome, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json(outcome)
        return
    verb = "would be copied" if dry_run else "copied"
    for one in outcome.repositories:
        absent = f", {one.absent} of the vendor's were never here" if one.absent else ""
        click.echo(
            f"{one.repository}: timestamp version {one.timestamp}; {one.objects} objects, "
            f"{one.bytes} bytes {verb}, {one.kept} were there{absent}"
        )
        click.echo(f"  root sha256 {one.root_sha256}")
    if outcome.handed_over:
        click.echo(f"handed over to {outcome.handed_over}: here nothing is signed any more")
        click.echo("next: bring keys/online, state and held to the new mirror's folder; start it")
        click.echo("next: lead hosts to it, by DNS or `mirrors`; then stop the mirror here")


@click.command(epilog="Example: sigmirror unseal /etc/sigmirror/sigmirror.toml s3://b/m --reason …")
@endpoint_option
@region_option
@click.option("--lost", is_flag=True, help="DST is gone for good, and nothing was signed there.")
@click.option("--reason", type=text, required=True, help="Why, for whoever finds the seal at DST.")
@click.argument("src")
@click.argument("dst", required=False)
def unseal(
    *, src: str, dst: str | None, endpoint: str, region: str, lost: bool, reason: str
) -> None:
    """Let the mirror at SRC sign again, after a handover to DST that was never completed.

    DST is looked at first: once it has taken over, it must be handed back instead; what it holds
    is sealed. --lost goes without it. Hosts refuse versions lower than they have seen.
    """
    if bool(dst) == lost:
        raise UsageError("name DST; or --lost, where it is gone for good")
    with contextlib.ExitStack() as opened:
        source = opened.enter_context(open_place(src, endpoint=endpoint, region=region))
        here, there, to = _repositories(source), [], ""
        if dst:
            target = opened.enter_context(open_place(dst, endpoint=endpoint, region=region))
            there, to = _repositories(target, like=here), target.shown
        asyncio.run(take_back(here, there, to, by=order("sigmirror unseal", reason), now=now()))
    click.echo(f"{source.shown}: signed here again")


def _repositories(
    place: Place, like: list[StoredRepository] | None = None
) -> list[StoredRepository]:
    names = place.mirror("unseal").repositories if like is None else [one.name for one in like]
    return [StoredRepository(place.store, name) for name in names]

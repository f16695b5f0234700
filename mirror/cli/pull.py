"""`sigmirror pull` and `sigmirror probe`."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from keys import ending, files
from keys.errors import Error, StateError
from keys.model.instant import utc
from mirror.cli.options import config_option, json_option, now, open_site, order, print_json
from mirror.cli.progress import progress
from mirror.cli.waiting import in_turn, wait_option
from mirror.pulls import Result
from mirror.site import MirrorSite
from mirror.upstream.base import Offer


@click.command(epilog="Example: sigmirror pull official --json")
@config_option
@json_option
@wait_option
@click.argument("upstream", required=False)
def pull(*, config: Path, as_json: bool, wait: float, upstream: str | None) -> int:
    """Pull from UPSTREAM now, or from every upstream that is due; sign again what is due.

    Naming one also starts it again after its credential was rejected. Exit codes: 0 done, 1 failed
    with the last good release served, 2 settings, 3 refused as untrusted, 4 licence or credential;
    the last failure's also where the next pull is not due yet.
    """
    site = open_site(config, pulls=True)
    asyncio.run(site.check_in_charge())
    names = [upstream] if upstream else [one.name for one in site.settings.upstream]
    codes, told = [0], []
    for name in names:
        outcome = _turn(site, name, by_hand=upstream is not None, quiet=as_json, wait=wait)
        told.append(_builtins(name, outcome))
        if isinstance(outcome, Error):
            codes.append(ending.report(outcome))
            continue
        codes.append(outcome.exit_code)
        if not as_json:
            click.echo(_line(outcome))
    codes.append(_renew(site))
    if as_json:
        changed = any(one.get("outcome") == "published" for one in told)
        print_json({"changed": changed, "pulls": told})
    return max(codes)


def _turn(
    site: MirrorSite, name: str, *, by_hand: bool, quiet: bool, wait: float
) -> Result | Error:
    """Pull once, after whoever is at work on the same upstream; tell an error, do not raise it."""
    try:
        return in_turn(lambda: _pull(site, name, by_hand=by_hand, quiet=quiet), wait=wait)
    except Error as exc:
        return exc


def _pull(site: MirrorSite, name: str, *, by_hand: bool, quiet: bool) -> Result:
    ingest = site.ingest(name)
    with progress(name, wanted=not quiet) as on_bytes:
        return asyncio.run(
            ingest.pull(
                now=now(), by=order(f"sigmirror pull {name}"), by_hand=by_hand,
                on_bytes=on_bytes,
            )
        )  # fmt: skip


def _renew(site: MirrorSite) -> int:
    try:
        asyncio.run(site.renew(by=order("sigmirror pull"), now=now()))
    except Error as exc:
        return ending.report(exc)
    return 0


def _builtins(name: str, outcome: Result | Error) -> dict[str, Any]:
    if isinstance(outcome, Result):
        built: dict[str, Any] = msgspec.to_builtins(outcome)
        return built
    return {
        "upstream": name,
        "outcome": "failed",
        "error": str(outcome),
        "hint": outcome.hint,
        "exit_code": outcome.exit_code,
    }


def _line(result: Result) -> str:
    parts = [f"{result.upstream}: {result.outcome}"]
    if result.release:
        parts.append(result.release)
    if result.outcome == "published":
        parts.append(f"to {result.track or 'no track'}, {result.new_bytes} new bytes")
    if result.requests:
        parts.append(f"{result.requests} requests, {result.received_bytes} bytes received")
    parts += [text for text in (result.detail, result.note) if text]
    return "; ".join(parts)


@click.command(epilog="Example: sigmirror probe official --transcript probe.txt")
@config_option
@json_option
@click.option(
    "--transcript",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Save what was said, without secrets.",
)
@click.argument("upstream")
def probe(*, config: Path, as_json: bool, transcript: Path | None, upstream: str) -> None:
    """Tell what a pull from UPSTREAM would meet; nothing is fetched, published or remembered."""
    site, at = open_site(config), now()
    ingest = site.ingest(upstream)
    try:
        offer = asyncio.run(ingest.probe(now=at))
    finally:
        if transcript is not None:
            _save(transcript, ingest.upstream.transcript.text())
    met = _met(site, upstream, offer, at)
    if as_json:
        print_json(met)
        return
    for name, value in met.items():
        click.echo(f"{name.replace('_', ' ') + ':':<20} {_plain(value)}")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return utc(value)
    return "unknown" if value is None else str(value)


def _met(site: MirrorSite, name: str, offer: Offer, at: datetime) -> dict[str, Any]:
    pulled = site.pull_state(name).read()
    waits = pulled.wait_until(at, by_hand=False)
    stopped = "stopped: the credential was rejected" if pulled.stopped else "now"
    return {
        "upstream": name,
        "address": offer.address,
        "status": f"{offer.status}; {offer.note}" if offer.note else offer.status,
        "version": offer.version or "nothing to pull",
        "last_version": pulled.version or "none",
        "bytes": offer.length,
        "assurance": offer.assurance.value,
        "next_allowed_pull": waits or stopped,
    }


def _save(path: Path, text: str) -> None:
    try:
        files.write(path, text.encode(), mode=0o600)
    except OSError as exc:
        raise StateError(f"{path}: {exc.strerror or exc}") from exc

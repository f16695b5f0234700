"""`sigkeys licence`: an issuer's key, licences signed with it, and reading them."""

from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

import click
import msgspec

from keys import files
from keys.cli import options
from keys.cli.notice import LANGUAGES, notice
from keys.cli.record import compose_record, renewal_warnings
from keys.credentials import passphrase
from keys.errors import StateError, UsageError
from keys.model.instant import utc
from keys.model.licence import Content, Kind, Licence, SeatMetric
from keys.model.seats import Usage, flags, host_limit
from keys.model.standing import reference_time, state_at, state_on
from keys.signing.licence import issue, new_issuer, open_issuer, public_half
from keys.trust.licence import Issuers, read_file, verify

_issuer_option = click.option(
    "--issuer", type=options.file, required=True, help="The public key of the licence's issuer."
)
_file_argument = click.argument("file", type=options.file)


@click.group()
def licence() -> None:
    """Issue signed licence files and read them."""


@licence.command("issuer", epilog="Example: sigkeys licence issuer /etc/sigmirror/issuer")
@click.argument("key", type=options.file)
@options.passphrase_option
def new_issuer_key(*, key: Path, passphrase_file: Path | None) -> None:
    """Make an issuer's key: KEY, encrypted, and KEY.pub, which customers pin."""
    keyid = new_issuer(key, passphrase(passphrase_file, options.PASSPHRASE_VARIABLE))
    click.echo(f"key id {keyid}")
    click.echo(f"next: give {public_half(key)} to customers; they name it as `issuer`")


def _words(kind: type[Enum]) -> click.Choice[str]:
    return click.Choice([one.value for one in kind])


def _fields(command: Any) -> Any:  # noqa: ANN401 - what click decorates
    """Add an option for each field of a record."""
    named = [
        click.option("--serial", help="The licence's number; a renewal keeps it."),
        click.option("--organisation", help="Whose licence it is."),
        click.option("--product", help="What was bought."),
        click.option("--kind", type=_words(Kind), help="What the file is for."),
        click.option("--seats", type=int, help="How many were bought."),
        click.option("--seat-metric", type=_words(SeatMetric), help="What a seat is."),
        click.option("--starts-on", metavar="YYYY-MM-DD", help="The first day."),
        click.option("--ends-on", metavar="YYYY-MM-DD", help="The last day, itself included."),
        click.option("--tz", help="Time zone of the dates, such as Asia/Tokyo."),
        click.option("--sequence", type=int, help="Higher than that of every earlier file."),
        click.option("--feed", "feeds", multiple=True, help="A channel; repeat for several."),
        click.option(
            "--content", multiple=True, type=_words(Content), help="Repeat for several."
        ),
        click.option("--username", help="Of the credential for pulls; never the password."),
        click.option("--edition", help="For information only."),
        click.option("--contact-email", help="For information only."),
        click.option(
            "--host-limit-override", type=int, help="Managed hosts, where not as the seats say."
        ),
    ]  # fmt: skip
    for option in reversed(named):
        command = option(command)
    return command


@licence.command(
    "issue",
    epilog="Example: sigkeys licence issue --key issuer --out c.lic --serial EAV-1 --kind feed "
    "--organisation 'Example Ltd' --product Feeds --seats 50 --feed clamav "
    "--starts-on 2026-04-01 --ends-on 2027-03-31 --tz Asia/Tokyo",
)
@click.option("--key", required=True, help="The issuer's key file, or a signer URI.")
@click.option("--public", type=options.file, help="Its public half. [default: KEY.pub]")
@click.option("--out", type=options.file, required=True, help="The file to write; never replaced.")
@click.option("--record", type=options.file, help="A TOML file of fields; options win over it.")
@click.option("--renews", type=options.file, help="The .lic file this one follows.")
@options.passphrase_option
@_fields
def issue_licence(
    *, key: str, public: Path | None, out: Path, record: Path | None, renews: Path | None,
    passphrase_file: Path | None, **fields: Any,  # noqa: ANN401 - one for each field
) -> None:  # fmt: skip
    """Sign a licence.

    With --renews every field not given is that of the earlier file, the sequence is the next one,
    and the new term starts the day after the old one ends unless --starts-on says otherwise.
    """
    at = options.now()
    signer = open_issuer(key, public, passphrase(passphrase_file, options.PASSPHRASE_VARIABLE))
    issuers = Issuers({signer.public_key.keyid: signer.public_key})
    before = verify(read_file(renews), issuers, str(renews)) if renews else None
    made = compose_record(fields, record, before, at)
    _write(out, issue(made, signer))
    for warning in renewal_warnings(made, before):
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{out}: {made.serial}, sequence {made.sequence}, {_term(made)}")


@licence.command(epilog="Example: sigkeys licence show customer.lic --issuer issuer.pub")
@_file_argument
@_issuer_option
@click.option(
    "--at", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="The state on this day."
)
@options.json_option
def show(*, file: Path, issuer: Path, at: datetime | None, as_json: bool) -> None:
    """Verify a licence file and show it, with its state today."""
    found = verify(read_file(file), Issuers.read(issuer), str(file))
    shown = {**msgspec.to_builtins(found, builtin_types=(datetime,)), **_state(found, at)}
    if as_json:
        click.echo(msgspec.json.encode(shown).decode())
        return
    for name, value in shown.items():
        click.echo(f"{name}: {_plain(value)}")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return utc(value)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _state(found: Licence, at: datetime | None) -> dict[str, Any]:
    from_clock = reference_time(options.now(), [found])
    standing = state_on([found], at.date()) if at is not None else state_at([found], from_clock)
    return {
        "state": standing.state.value,
        "today": standing.today.isoformat(),
        "days_left": standing.days_left,
        "host_limit": host_limit(found),
        "flags": [name for name in flags([found], Usage()) if not name.startswith("key_file")],
    }


@licence.command("notice", epilog="Example: sigkeys licence notice c.lic --issuer issuer.pub "
                 "--language ja --out notice.html")  # fmt: skip
@_file_argument
@_issuer_option
@click.option("--language", type=click.Choice(sorted(LANGUAGES)), default="en", show_default=True)
@click.option("--out", type=options.file, help="Write the page here instead of printing it.")
def write_notice(*, file: Path, issuer: Path, language: str, out: Path | None) -> None:
    """Write a printable notice (HTML, A4) of a licence; the password is masked."""
    page = notice(verify(read_file(file), Issuers.read(issuer), str(file)), language)
    if out is None:
        click.echo(page, nl=False)
        return
    _write(out, page.encode())
    click.echo(f"wrote {out}")


def _write(path: Path, data: bytes) -> None:
    try:
        files.create(path, data)
    except FileExistsError as exc:
        raise UsageError(f"{path}: exists already; nothing was overwritten") from exc
    except OSError as exc:
        raise StateError(f"{path}: {exc.strerror or exc}") from exc


def _term(made: Licence) -> str:
    return f"{made.starts_on} to {made.ends_on} ({made.tz})"

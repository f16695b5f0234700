"""`sigkeys verify`: tells whether files are what their vendors signed."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import click
import msgspec

from keys import files
from keys.cli.options import file, json_option, now
from keys.errors import Error, LimitError, TrustError, UsageError
from keys.model.instant import utc
from keys.model.release import Assurance, Instant
from keys.trust.vendor.anchors import Anchors
from keys.trust.vendor.examine import Check, Finding, Trusted, examine
from keys.trust.vendor.minisign import is_public
from keys.trust.vendor.openpgp import MAX_KEY_BYTES, check_fingerprint, read_certificates
from keys.trust.vendor.policy import Required
from keys.trust.vendor.verdict import strongest

_MOMENTS = ["%Y-%m-%d", "%Y-%m-%d %H:%M:%SZ", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%z"]
_folder = click.Path(path_type=Path, file_okay=False, exists=True)


class CheckRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One check a file passed; ``by`` is the other file that vouches for it."""

    scheme: str
    assurance: Assurance
    signer: str = ""
    version: str = ""
    signatures: int | None = None
    signed_at: Instant | None = None
    comment: str = ""
    by: str = ""

    @classmethod
    def of(cls, check: Check) -> "CheckRow":
        """Take what a check says."""
        said = check.verdict
        return cls(
            said.scheme,
            said.assurance,
            said.signer,
            said.version,
            said.signatures,
            said.signed_at,
            said.comment,
            check.by,
        )

    @property
    def line(self) -> str:
        """One line for a person."""
        words = [f"{self.assurance.value} ({self.scheme})"]
        words += [f"by {self.signer}"] if self.signer else []
        words += [f"version {self.version}"] if self.version else []
        words += [f"{self.signatures} signatures"] if self.signatures is not None else []
        words += [f"made {utc(self.signed_at)}"] if self.signed_at else []
        words += [f"comment {self.comment!r}"] if self.comment else []
        words += [f"in {self.by}"] if self.by else []
        return ", ".join(words)


class FileRow(msgspec.Struct, frozen=True):
    """What was found of one file; ``refused`` is "" for one that is believed."""

    file: str
    assurance: Assurance
    checks: tuple[CheckRow, ...]
    unchecked: tuple[str, ...]
    refused: str = ""
    hint: str = ""
    exit_code: int = 0

    @classmethod
    def of(cls, finding: Finding, *, allow_unsigned: bool) -> "FileRow":
        """Judge a finding."""
        checks = tuple(map(CheckRow.of, finding.checks))
        assurance = strongest(tuple(check.verdict for check in finding.checks))
        error = finding.error
        if error is None and assurance is Assurance.none and not allow_unsigned:
            error = _nothing(finding)
        return cls(
            str(finding.path),
            assurance,
            checks,
            finding.unchecked,
            str(error or ""),
            error.hint if error and error.hint != error.default_hint else "",
            _code(error),
        )

    def lines(self) -> Iterable[str]:
        """Tell a person, a line for each check."""
        if self.refused:
            yield f"{self.file}: REFUSED: {self.refused}"
            yield from [f"  hint: {self.hint}"] if self.hint else []
            return
        for check in self.checks:
            yield f"{self.file}: {check.line}"
        for name in self.unchecked:
            yield f"{self.file}: {name} was not checked: no key or certificate for it was named"
        if not self.checks:
            yield f"{self.file}: none: nothing vouches for it"


def _nothing(finding: Finding) -> TrustError:
    hint = "see `sigkeys verify --help`; --allow-unsigned passes what nothing vouches for"
    if finding.unchecked:
        there = ", ".join(finding.unchecked)
        return TrustError(
            f"{there} could not be checked: no key or certificate for it was named", hint=hint
        )
    return TrustError(f"nothing vouches for it (it is {finding.looks})", hint=hint)


def _code(error: Error | None) -> int:
    if error is None:
        return 0
    return TrustError.exit_code if isinstance(error, LimitError) else error.exit_code


@click.command(
    epilog="Example: sigkeys verify daily.cvd rules.tar.gz --key vendor.asc --fingerprint 1A2B…"
)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=file)
@click.option("--sign", "named", type=file, multiple=True, help="A sidecar. [default: siblings]")
@click.option("--key", "keys", multiple=True, help="OpenPGP or minisign keys: a file, or RW….")
@click.option("--fingerprint", "pins", multiple=True, help="The OpenPGP keys that count, in full.")
@click.option("--certificates", type=_folder, help="Folder of the roots that .sign files chain to.")
@click.option(
    "--require",
    type=click.Choice(get_args(Required)),
    default="legacy",
    show_default=True,
    help="What ClamAV's own files must bear.",
)
@click.option(
    "--at", type=click.DateTime(_MOMENTS), metavar="TIME", help="Certificates must be good then."
)
@click.option("--allow-unsigned", is_flag=True, help="Pass files that nothing vouches for.")
@json_option
def verify(  # noqa: PLR0913 - one parameter for each option of the command line
    *, paths: tuple[Path, ...], named: tuple[Path, ...], keys: tuple[str, ...],
    pins: tuple[str, ...], certificates: Path | None, require: Required, at: datetime | None,
    allow_unsigned: bool, as_json: bool,
) -> int:  # fmt: skip
    """Verify each FILE by its vendor's own signatures and by the sidecars beside it.

    Files: .cvd, .cld, .cdiff, a database's .info and what it lists. Sidecars: .sign, .asc, .sig,
    .minisig, .sha512, .sha256, .md5. Exit codes: 0 every file is vouched for, 3 one is refused, or
    nothing vouches for it.
    """
    trusted = _trusted(keys, pins, certificates, require, _moment(at))
    findings = (examine(path, trusted, named) for path in paths)
    rows = [FileRow.of(finding, allow_unsigned=allow_unsigned) for finding in findings]
    if as_json:
        click.echo(msgspec.json.encode(rows).decode())
    else:
        click.echo("\n".join(line for row in rows for line in row.lines()))
    codes = {row.exit_code for row in rows}
    return TrustError.exit_code if TrustError.exit_code in codes else max(codes)


def _moment(at: datetime | None) -> datetime:
    if at is None:
        return now()
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _trusted(
    keys: tuple[str, ...],
    pins: tuple[str, ...],
    certificates: Path | None,
    require: Required,
    at: datetime,
) -> Trusted:
    """Read what the options name.

    Raises:
        UsageError: a key or a pin is none, or what is required cannot be checked.
        SettingsError: the folder of certificates.

    """
    if require != "legacy" and certificates is None:
        raise UsageError(f"--require {require} needs --certificates")
    read = [_read_key(key) for key in keys]
    openpgp = tuple(key for key in read if not is_public(key))
    for key in openpgp:
        read_certificates(key)
    return Trusted(
        at,
        openpgp,
        tuple(check_fingerprint(pin) for pin in pins),
        tuple(key for key in read if is_public(key)),
        Anchors.load(certificates) if certificates else None,
        require,
    )


def _read_key(key: str) -> bytes:
    """Read a key file; a minisign key may be written out."""
    path = Path(key)
    if is_public(key.encode()) and not path.exists():
        return key.encode()
    return files.read(path, max_bytes=MAX_KEY_BYTES, limit="MAX_KEY_BYTES", error=UsageError)

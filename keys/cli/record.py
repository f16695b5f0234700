"""A licence record made of options, a TOML file and the record it follows."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from keys import settings
from keys.errors import LicenceError, UsageError
from keys.model.licence import Licence
from keys.model.seats import SMALLEST_TIER, add_on_warning

_ONE_DAY = timedelta(days=1)


def compose_record(
    options: Mapping[str, Any], toml: Path | None, before: Licence | None, now: datetime
) -> Licence:
    """Make the record to sign; options win over the file, and the file over what it follows.

    Raises:
        UsageError: a field is missing or malformed; the message names it.
        SettingsError: the file is not TOML.
        LicenceError: the licence it follows can be renewed no longer.

    """
    given = {name: value for name, value in options.items() if value not in {None, ()}}
    fields = settings.parse_raw(settings.read(toml), str(toml)) if toml else {}
    fields = {"sequence": 1, "tz": "UTC", **_followed(before), **fields, **given}
    fields["issued_at"] = now.replace(microsecond=0)
    fields.setdefault("id", f"{fields.get('serial')}-{fields['sequence']}")
    try:
        made = msgspec.convert(fields, Licence)
    except (msgspec.ValidationError, ValueError) as exc:
        hint = "see `sigkeys licence issue --help`"
        raise UsageError(f"licence: {_fault(exc, fields)}", hint=hint) from exc
    _check_renewal(made, before)
    return made


def _fault(error: Exception, fields: Mapping[str, Any]) -> str:
    """Say what is wrong, with the field and its value where it is one field's."""
    what, _, name = str(error).rstrip("`").partition(" - at `$.")
    return f"{name}: {fields[name]!r}: {what}" if name in fields else what


def _followed(before: Licence | None) -> dict[str, Any]:
    if before is None:
        return {}
    own = {"id", "issued_at", "ends_on", "eula_accepted"}
    kept = {name: getattr(before, name) for name in before.__struct_fields__ if name not in own}
    return {
        **msgspec.to_builtins(kept),
        "sequence": before.sequence + 1,
        "starts_on": (before.ends_on + _ONE_DAY).isoformat(),
        "replaces": before.id,
    }


def _check_renewal(made: Licence, before: Licence | None) -> None:
    if before is None or made.identity != before.identity:
        return
    if made.sequence <= before.sequence:
        raise UsageError(f"sequence: {made.sequence} is not above {before.sequence}")
    if made.today(made.issued_at) > before.renewable_until:
        raise LicenceError(
            f"licence {before.serial}: could be renewed until {before.renewable_until}",
            hint="issue a new licence with a serial of its own",
        )


def renewal_warnings(made: Licence, before: Licence | None) -> Iterator[str]:
    """Say what is unusual about a licence that is nevertheless issued."""
    if made.seats < SMALLEST_TIER:
        yield f"{made.seats} seats are below the smallest tier of {SMALLEST_TIER}"
    if before is None or made.seats <= before.seats:
        return
    added, today = made.seats - before.seats, made.today(made.issued_at)
    renewing = made.ends_on > before.ends_on
    if text := add_on_warning(before, added, today, renewing=renewing):
        yield text

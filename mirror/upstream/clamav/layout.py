"""How a ClamAV mirror names its files, and what its TXT record says: pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

OFFICIAL_URL = "https://database.clamav.net"
OFFICIAL_DOMAIN = "clamav.net"
OFFICIAL_RECORD = "current.cvd.clamav.net"

# The record's fields, split by colons (libfreshclam_internal.h:27-30).
RECORD_FIELDS = {"main": 1, "daily": 2, "bytecode": 7}

MAX_VERSION = 2**31 - 1
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_DATABASE = re.compile(r"[a-z0-9][a-z0-9_]{0,62}")
_CDIFF = re.compile(r"(?P<name>[a-z0-9_]+)-(?P<version>[1-9][0-9]{0,9})\.cdiff")
_TOLD = re.compile(r"(?P<name>[a-z0-9_]+) (?P<version>[1-9][0-9]{0,9})")


@dataclass(frozen=True, slots=True, order=True)
class CdiffName:
    """Which step a cdiff takes: to ``version`` from the one before."""

    name: str
    version: int

    @classmethod
    def parse(cls, text: str) -> "CdiffName | None":
        """Read a file's name; None when it is no cdiff's."""
        found = _CDIFF.fullmatch(text)
        return cls(found["name"], int(found["version"])) if found else None

    def __str__(self) -> str:
        return f"{self.name}-{self.version}.cdiff"


def is_database_name(text: str) -> bool:
    """Tell whether a database may be called so."""
    return _DATABASE.fullmatch(text) is not None


def cvd_name(name: str) -> str:
    """Name a whole database."""
    return f"{name}.cvd"


def cld_name(name: str) -> str:
    """Name a database as it is published to hosts."""
    return f"{name}.cld"


def cvd_sign_name(name: str, version: int) -> str:
    """Name the detached signature of a whole database: with its version, unlike the database."""
    return f"{name}-{version}.cvd.sign"


def sign_name(cdiff: CdiffName) -> str:
    """Name the detached signature of a cdiff."""
    return f"{cdiff}.sign"


def read_record(text: str, names: Iterable[str]) -> dict[str, int]:
    """Return the versions a TXT record tells of those databases it knows; junk tells nothing."""
    fields = text.split(":")
    found = {}
    for name in names:
        at = RECORD_FIELDS.get(name, len(fields))
        if at < len(fields) and _NUMBER.fullmatch(fields[at]):
            found[name] = int(fields[at])
    return {name: version for name, version in found.items() if version <= MAX_VERSION}


def tell(versions: Mapping[str, int]) -> str:
    """Write versions for people: ``main 62, daily 27500``."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def told(text: str) -> dict[str, int]:
    """Read what ``tell`` wrote; anything else says nothing."""
    found = (_TOLD.fullmatch(part) for part in text.split(", "))
    return {match["name"]: int(match["version"]) for match in found if match}

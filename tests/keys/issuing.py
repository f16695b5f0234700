"""A licence issuer, and licences as it would write them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec

from keys.credentials import Secret
from keys.model.licence import Kind, Licence
from keys.signing.licence import issue, new_issuer, open_issuer, public_half
from keys.trust.licence import Issuers
from keys.trust.tuf_api import Signer

PASSPHRASE = Secret("correct horse battery")
ORGANISATION = "株式会社サンプル"

LICENCE = Licence(
    id="lic-1",
    serial="EMSL-0001",
    kind=Kind.scanner,
    product="メールセキュリティ Linux 版",
    organisation=ORGANISATION,
    seats=250,
    starts_on=date(2025, 4, 1),
    ends_on=date(2026, 3, 31),
    tz="Asia/Tokyo",
    sequence=1,
    issued_at=datetime(2025, 3, 20, 3, tzinfo=UTC),
    feeds=("inhouse",),
    username="EAV-0123456",
)


def but(licence: Licence = LICENCE, **changes: Any) -> Licence:
    """Return a licence with some fields changed."""
    return msgspec.structs.replace(licence, **changes)


RENEWAL = but(
    sequence=2,
    starts_on=date(2026, 4, 1),
    ends_on=date(2027, 3, 31),
    issued_at=datetime(2026, 3, 1, tzinfo=UTC),
)


@dataclass(frozen=True)
class Issuer:
    """Someone who sells licences; his key lies in a folder."""

    key: Path
    signer: Signer

    @classmethod
    def make(cls, folder: Path, name: str = "issuer") -> "Issuer":
        key = folder / name
        new_issuer(key, PASSPHRASE)
        return cls(key, open_issuer(str(key), None, PASSPHRASE))

    @property
    def public(self) -> Path:
        return public_half(self.key)

    @property
    def pinned(self) -> Issuers:
        return Issuers.read(self.public)

    def issue(self, licence: Licence = LICENCE) -> bytes:
        return issue(licence, self.signer)

    def write(self, path: Path, licence: Licence = LICENCE) -> Path:
        path.write_bytes(self.issue(licence))
        return path

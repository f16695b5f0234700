"""What an operator writes for one upstream; docs/operations.md explains each key."""

from typing import Annotated, Literal

import msgspec

from keys.model.release import Content, Redistribution
from keys.settings import Count, DurationOrNone, Positive, Seconds, Table

Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]


class UpstreamSettings(Table, frozen=True):
    """One way to pull from a vendor.

    A ``preset`` fills in what its feed is known to want; what is written beside it counts more,
    except that no interval goes below the feed's floor.
    """

    name: str
    kind: Literal["drop", "tuf", "clamav", "http", ""] = ""  # or what the preset says
    preset: str = ""
    channel: str = ""  # all but tuf: the channel to publish to
    engine: str = ""  # what the files are for, information in the manifest
    content: Content = "definitions"
    redistribution: Redistribution | Literal[""] = ""  # default: by whether there is a credential
    hold_below_percent: Percent = 80  # of the last release's bytes or signatures; 0: never hold

    folder: str = ""  # drop
    marker: str = ""  # drop: import when this file appears; empty: after a quiet period
    quiet_seconds: DurationOrNone = 10.0

    url: str = ""  # tuf: https://vendor.example:8480/r/site; http: may hold {token}
    root: str = ""  # tuf: the vendor's root.json
    originals: bool = True  # tuf: also bring what the native layouts serve
    licence: str = ""
    ca_file: str = ""
    user_agent: str = ""

    auth: Literal["none", "basic", "header", "path", "query", "form", "mtls"] = "none"
    auth_name: str = ""  # header, query, form: the name that carries the token
    token_file: str = ""  # header, path, query, form: the secret
    form: dict[str, str] = msgspec.field(default_factory=dict)  # form: what else, nothing secret
    username: str = ""  # basic, where no licence names one
    password_file: str = ""
    client_cert: str = ""  # mtls
    client_key: str = ""

    names: tuple[str, ...] = ()  # http: the files below url; empty: url is the file
    save_as: str = ""  # http: the file's name where the address does not end in one
    archive: Literal["none", "tar.gz", "zip"] = "none"
    include: tuple[str, ...] = ()  # archive: patterns of the members to take; empty: all
    exclude: tuple[str, ...] = ()
    strip: Count = 0  # archive: leading folders to leave out
    version: Literal[
        "etag", "last-modified", "sidecar", "version-file", "json-pointer", "dns-txt"
    ] = "etag"  # http: what tells that there is something new
    version_at: str = ""  # version-file, json-pointer: its address; dns-txt: the name to ask
    version_pointer: str = ""  # json-pointer: RFC 6901; dns-txt: the number of the field
    verify: tuple[
        Literal[
            "openpgp", "minisign", "cvd", "sha512", "sha256", "md5", "github-digest", "size"
        ],
        ...,
    ] = ()  # all listed must hold  # fmt: skip
    verify_keys: tuple[str, ...] = ()  # openpgp, minisign: files with public keys
    fingerprints: tuple[str, ...] = ()  # openpgp: the keys that count; needed
    signature_suffix: Literal[".asc", ".sig", ".gpg"] = ".asc"  # openpgp: of its sidecars
    missing_means_blocked: bool = False  # http: the vendor shows a block as 404
    allow_unsigned: bool = False  # take what no signature of the vendor vouches for

    driver: Literal["cvdupdate", "freshclam", "native", ""] = ""  # clamav
    program: str = ""  # cvdupdate, freshclam: the program; empty: looked for
    databases: tuple[str, ...] = ("main", "daily", "bytecode")
    signatures: Literal["legacy", "sign", "both"] = "legacy"  # clamav: what must be there
    certificates: str = ""  # clamav: folder of the anchors of .sign files
    keep_cdiffs: Count = 30
    dns: str = ""  # clamav: the TXT record; empty: ask the mirror itself
    resolver: str = ""  # address[:port] of the DNS server; empty: the system's

    interval_seconds: Seconds = 900
    max_release_bytes: Positive = 4 << 30
    max_files: Positive = 100_000
    max_archive_ratio: Positive = 200
    max_pull_seconds: Seconds = 3600
    min_rate_bytes_per_second: Count = 256

    @property
    def credentialed(self) -> bool:
        """Tell whether a credential is shown to the vendor."""
        return self.auth != "none" or bool(self.licence)

    @property
    def credential_files(self) -> tuple[str, ...]:
        """The files of the upstream's own credential."""
        named = (self.token_file, self.password_file, self.client_cert, self.client_key)
        return tuple(name for name in named if name)

    @property
    def shared_with(self) -> Redistribution:
        """Who may be served what comes from here."""
        return self.redistribution or ("licensed-hosts" if self.credentialed else "public")

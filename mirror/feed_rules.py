"""What an upstream's settings must be for its feed to be pulled, and what that proves. Pure."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from keys.errors import NameRefusedError, UsageError
from keys.model.names import check_path, check_unique
from keys.model.release import Assurance
from keys.trust.vendor.openpgp import check_fingerprint
from mirror.feeds import UpstreamSettings

_ASSURANCE = {
    "openpgp": Assurance.signed,
    "minisign": Assurance.signed,
    "cvd": Assurance.signed,
    "sha512": Assurance.digest,
    "sha256": Assurance.digest,
    "md5": Assurance.digest,
    "github-digest": Assurance.digest,
    "size": Assurance.size,
}
_SIDECARS = {"openpgp", "minisign", "sha512", "sha256", "md5"}
_AUTH_NEEDS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "basic": (),
    "header": ("token_file",),
    "path": ("token_file",),
    "query": ("auth_name", "token_file"),
    "form": ("auth_name", "token_file"),
    "mtls": ("client_cert", "client_key"),
}
_COUNTS_FOR: Sequence[tuple[str, str]] = (  # kinds, and the keys that count for them only
    ("drop", "folder marker quiet_seconds"),
    ("tuf", "root originals"),
    (
        "http",
        (
            "names save_as archive include exclude strip version version_at version_pointer verify "
            "verify_keys fingerprints signature_suffix missing_means_blocked allow_unsigned form "
            "max_archive_ratio"
        ),
    ),
    ("clamav", "driver program databases signatures certificates keep_cdiffs dns"),
    ("clamav http", "auth auth_name token_file client_cert client_key resolver"),
    ("clamav http tuf", "url ca_file user_agent username password_file"),
)
_VERSION_NEEDS: Mapping[str, tuple[str, ...]] = {
    "version-file": ("version_at",),
    "json-pointer": ("version_at", "version_pointer"),
    "dns-txt": ("version_at",),
}


def promised(verify: Sequence[str]) -> Assurance:
    """Tell the assurance of files that pass all of these checks."""
    ranks = list(Assurance)
    return min((_ASSURANCE[one] for one in verify), key=ranks.index, default=Assurance.none)


def is_protected(url: str) -> bool:
    """Tell whether nobody on the way can change what is sent: https, or never off this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address never leaves this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def unsigned_refusal(upstream: UpstreamSettings) -> str:
    """Say why what no signature of the vendor vouches for is not taken; empty when it is."""
    assurance = promised(upstream.verify)
    if assurance is Assurance.signed:
        return ""
    if not upstream.allow_unsigned:
        return (
            f"allow_unsigned: the vendor's signature is not verified (assurance "
            f"{assurance.value}); add it to verify, or set allow_unsigned = true"
        )
    if not is_protected(upstream.url):
        return f"url: assurance {assurance.value} needs https: anybody on the way could change it"
    return ""


def problems(upstream: UpstreamSettings) -> Iterator[str]:
    """List what is wrong with an upstream of kind ``http``."""
    addresses = {"url": upstream.url}
    if "://" in upstream.version_at:
        addresses["version_at"] = upstream.version_at
    malformed = [key for key, url in addresses.items() if url and not _is_address(url)]
    if malformed:
        yield from (f"{key}: not an http or https address" for key in malformed)
        return
    yield from _auth(upstream)
    if reason := unsigned_refusal(upstream):
        yield reason
    yield from _version(upstream)
    yield from _keys(upstream)
    yield from _names(upstream)
    yield from _unheeded(upstream)


def unheeded(upstream: UpstreamSettings) -> Iterator[str]:
    """Name what is written for an upstream and counts for other kinds only."""
    fields = {field.name: field for field in msgspec.structs.fields(UpstreamSettings)}
    for kinds, keys in _COUNTS_FOR:
        for key in () if upstream.kind in ("", *kinds.split()) else keys.split():
            if getattr(upstream, key) != _default(fields[key]):
                yield f"{key}: counts for {' and '.join(kinds.split())} only"
    if "@" in upstream.url.partition("://")[2].partition("/")[0]:
        yield "url: holds a user name; write username and password_file instead"


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _auth(upstream: UpstreamSettings) -> Iterator[str]:
    needed = [*_AUTH_NEEDS[upstream.auth], *_VERSION_NEEDS.get(upstream.version, ())]
    for key in needed:
        if not getattr(upstream, key):
            yield f"{key}: missing, needed for auth {upstream.auth!r}, version {upstream.version!r}"
    if upstream.auth == "basic" and not (upstream.licence or upstream.username):
        yield "username: missing, needed for auth 'basic'"
    if upstream.auth == "mtls" and not upstream.url.startswith("https:"):
        yield "url: a client certificate is only shown over https"
    if "{token}" in upstream.url and upstream.auth != "path":
        yield "auth: {token} in url needs auth = 'path'"


def _version(upstream: UpstreamSettings) -> Iterator[str]:
    pointer = upstream.version_pointer
    if upstream.version == "sidecar" and not _SIDECARS.intersection(upstream.verify):
        yield "version: sidecar: verify lists none"
    if upstream.version == "json-pointer" and pointer and not pointer.startswith("/"):
        yield f"version_pointer: {pointer!r}: not a JSON pointer, write /name"
    if upstream.version == "dns-txt" and pointer and not _is_number(pointer):
        yield f"version_pointer: {pointer!r}: not the number of a field"
    if "github-digest" in upstream.verify and not upstream.version_at:
        yield "version_at: missing, needed for github-digest: the release in GitHub's API"
    if upstream.names and "?" in upstream.url:
        yield "url: with names, it holds no query"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 4


def _keys(upstream: UpstreamSettings) -> Iterator[str]:
    signed = {"openpgp", "minisign"}.intersection(upstream.verify)
    if signed and not upstream.verify_keys:
        yield f"verify_keys: missing, needed for {', '.join(sorted(signed))}"
    if "openpgp" in signed and not upstream.fingerprints:
        yield "fingerprints: missing, needed for openpgp"
    for text in upstream.fingerprints:
        try:
            check_fingerprint(text)
        except UsageError as exc:
            yield f"fingerprints: {exc}"


def _names(upstream: UpstreamSettings) -> Iterator[str]:
    last = urlsplit(upstream.url).path.rpartition("/")[2]
    if not (upstream.names or upstream.save_as) and (not last or "{token}" in last):
        yield "save_as: missing, url ends in no name"
    named = {"names": upstream.names, "save_as": (upstream.save_as,) if upstream.save_as else ()}
    for key, paths in named.items():
        try:
            check_unique(check_path(path) for path in paths)
        except NameRefusedError as exc:
            yield f"{key}: {exc}"


def _unheeded(upstream: UpstreamSettings) -> Iterator[str]:
    """Name what counts only beside another setting, which is missing."""
    if upstream.archive == "none":
        for key in ("include", "exclude", "strip"):
            if getattr(upstream, key):
                yield f"{key}: counts for members of an archive, and archive is none"
    if upstream.auth == "none":
        for key in ("token_file", "client_cert", "client_key"):
            if getattr(upstream, key):
                yield f"{key}: is shown to nobody while auth is none"

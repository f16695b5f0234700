"""An upstream of kind ``clamav`` from its settings: defaults, problems, the driver."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from keys.errors import SettingsError
from keys.trust.vendor import rsa
from keys.trust.vendor.anchors import Anchors
from mirror.feeds import UpstreamSettings
from mirror.upstream.access import Access, check_address
from mirror.upstream.auth import basic, open_auth
from mirror.upstream.base import Feed
from mirror.upstream.clamav.adapter import ClamavUpstream
from mirror.upstream.clamav.cvdupdate import CvdUpdate, find_cvdupdate
from mirror.upstream.clamav.drivers import Driver, Surroundings
from mirror.upstream.clamav.freshclam import Freshclam, find_freshclam
from mirror.upstream.clamav.layout import (
    OFFICIAL_DOMAIN,
    OFFICIAL_RECORD,
    OFFICIAL_URL,
    is_database_name,
)
from mirror.upstream.clamav.native import Native
from mirror.upstream.clamav.working import Working
from mirror.upstream.transcript import Transcript
from mirror.upstream.txt import PORT, Resolver

MIN_OFFICIAL_SECONDS = 3600
MIN_PRIVATE_SECONDS = 60

_DRIVERS: Mapping[str, Callable[[Surroundings], Driver]] = {
    "cvdupdate": CvdUpdate,
    "freshclam": Freshclam,
    "native": Native,
}
_PROGRAMS: Mapping[str, Callable[[UpstreamSettings], str]] = {
    "cvdupdate": find_cvdupdate,
    "freshclam": find_freshclam,
}


def open_clamav(feed: Feed) -> ClamavUpstream:
    """Build the upstream for one pull; nothing is asked and nothing is written yet.

    Raises:
        SettingsError, UsageError: its settings cannot be followed.

    """
    for problem in problems(completed(feed.settings)):
        raise problem
    return assembled(feed)


def assembled(feed: Feed, *, keys: rsa.Keys = rsa.CLAMAV) -> ClamavUpstream:
    """Build the upstream from settings that can be followed.

    Raises:
        SettingsError, UsageError: an address or a credential that must not be used so.

    """
    settings, credential = completed(feed.settings), feed.credential
    auth = open_auth(settings, credential)
    access = Access.of(settings, basic(credential) if credential and not auth else auth)
    check_address(access)
    around = Surroundings(
        settings=settings,
        access=access,
        credential=credential,
        working=Working(feed.folder / "databases", settings.databases),
        resolver=Resolver.parse(settings.resolver),
        transcript=Transcript(access.redactor),
    )
    driver = _DRIVERS[settings.driver](around)
    return ClamavUpstream(feed, around, driver, _anchors(settings), keys=keys)


def completed(settings: UpstreamSettings) -> UpstreamSettings:
    """Return settings with defaults by whom they ask: the vendor, if nobody else is named."""
    url = settings.url or OFFICIAL_URL
    official = is_official(url)
    return msgspec.structs.replace(
        settings,
        url=url,
        driver=settings.driver or ("cvdupdate" if official else "native"),
        dns=settings.dns or (OFFICIAL_RECORD if official else ""),
    )


def is_official(url: str) -> bool:
    """Tell whether an address is the vendor's own network."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    return host == OFFICIAL_DOMAIN or host.endswith(f".{OFFICIAL_DOMAIN}")


def _anchors(settings: UpstreamSettings) -> Anchors | None:
    return Anchors.load(Path(settings.certificates)) if settings.certificates else None


def problems(settings: UpstreamSettings) -> Iterator[SettingsError]:
    """List what is wrong with completed settings."""
    for reason, hint in (*_of_any(settings), *_of_driver(settings)):
        yield SettingsError(f"upstream {settings.name}: {reason}", hint=hint)
    yield from _raised(settings, lambda: Resolver.parse(settings.resolver))
    yield from _raised(settings, lambda: _anchors(settings))


def missing(settings: UpstreamSettings) -> Iterator[SettingsError]:
    """Say that the program of completed settings is not there, if so: it may yet be installed."""
    find = _PROGRAMS.get(settings.driver)
    if find is not None:
        yield from _raised(settings, lambda: find(settings))


def _raised(settings: UpstreamSettings, opening: Callable[[], object]) -> Iterator[SettingsError]:
    try:
        opening()
    except SettingsError as exc:
        yield SettingsError(f"upstream {settings.name}: {exc}", hint=exc.hint)


def _of_any(settings: UpstreamSettings) -> Iterator[tuple[str, str]]:
    names = settings.databases
    if not names or len(set(names)) < len(names) or not all(map(is_database_name, names)):
        yield f"databases: {', '.join(names) or 'none'}: name each once, without .cvd", ""
    floor = MIN_OFFICIAL_SECONDS if is_official(settings.url) else MIN_PRIVATE_SECONDS
    if settings.interval_seconds < floor:
        yield f"interval_seconds: {settings.interval_seconds}: no less than {floor} here", ""
    if settings.signatures != "legacy" and not settings.certificates:
        yield (
            f"certificates: missing, needed for signatures = {settings.signatures!r}",
            "name the folder that holds ClamAV's clamav.crt",
        )


def _of_driver(settings: UpstreamSettings) -> Iterator[tuple[str, str]]:
    if settings.driver == "native" and is_official(settings.url):
        yield (
            f"driver: native: {settings.url} takes its own programs only",
            "leave driver out (cvdupdate), or name a private mirror as url",
        )
    if settings.driver == "cvdupdate":
        yield from _of_cvdupdate(settings)
    if settings.driver == "freshclam":
        yield from _of_freshclam(settings)


def _of_cvdupdate(settings: UpstreamSettings) -> Iterator[tuple[str, str]]:
    if settings.credentialed:
        yield "auth: cvdupdate shows no credential", "set driver = 'native'"
    if settings.dns != OFFICIAL_RECORD:
        yield f"dns: {settings.dns or 'none'}: cvdupdate asks {OFFICIAL_RECORD} only", ""
    with contextlib.suppress(SettingsError):
        if Resolver.parse(settings.resolver).port != PORT:
            yield f"resolver: {settings.resolver}: cvdupdate asks port {PORT} only", ""


def _of_freshclam(settings: UpstreamSettings) -> Iterator[tuple[str, str]]:
    if settings.auth not in {"none", "basic"}:
        yield f"auth: {settings.auth}: freshclam shows a user name and password only", ""
    if settings.resolver:
        yield f"resolver: {settings.resolver}: freshclam asks the system's resolver only", ""

"""What is wrong with a mirror's settings: every problem, not only the first."""

import ipaddress
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

from keys.credentials import read_secret
from keys.errors import Error, MissingError, SettingsError, StoreError
from mirror.address import Address
from mirror.feeds import UpstreamSettings
from mirror.fleet.ledger import open_door
from mirror.keychain import open_online_ring, open_sidecar_key
from mirror.notices import ways
from mirror.repository import MAX_ROLE_BYTES
from mirror.settings import LicenceSettings, ServeSettings, Settings, upstream_problems
from mirror.settings import problems as shape
from mirror.site import MirrorSite
from mirror.storage import open_bucket
from mirror.upstream import clamav
from mirror.web import tls

_LET_IN = {
    "licensed-hosts": "a host with a credential (or this machine)",
    "none": "this machine",
}


def problems(site: MirrorSite, *, signs: bool, now: datetime) -> list[Error]:
    """List everything that is wrong; ``signs`` says that the mirror also pulls and signs."""
    found = [*serving(site)]
    if signs:
        found += [*signing(site.settings), *pulling(site, now=now)]
    return found


def serving(site: MirrorSite) -> Iterator[Error]:
    """List what keeps a mirror from serving."""
    settings = site.settings
    yield from shape(settings)
    yield from _listeners(settings.serve)
    yield from _proxies(settings.serve)
    if settings.serve.tls is not None:
        yield from _raised(partial(tls.load, settings.serve.tls))
    yield from _store(site)
    if not settings.store.is_bucket:  # where replicas start, though it may not answer yet
        yield from _raised(partial(open_door, settings))


def signing(settings: Settings) -> Iterator[Error]:
    """List what keeps a mirror from signing."""
    broken = list(_raised(partial(open_online_ring, settings)))
    yield from broken or _raised(partial(open_sidecar_key, settings))


def pulling(site: MirrorSite, *, now: datetime) -> Iterator[Error]:
    """List what keeps single upstreams from being pulled."""
    yield from _licences(site, now)
    yield from _upstreams(site)
    yield from (found for rule in site.settings.notify if (found := ways.problem(rule)))


def warnings(settings: Settings) -> Iterator[Error]:
    """List what works, and may not be what the operator wants."""
    serve = settings.serve
    if serve.access != "open" or _is_private(serve):
        return
    for upstream in settings.upstream:
        if upstream.shared_with != "public":
            yield SettingsError(
                f"upstream {upstream.name}: redistribution is {upstream.shared_with}, and "
                f"{serve.listen} is open to everybody: only {_LET_IN[upstream.shared_with]} "
                "gets its files",
                hint='set serve.access = "hosts", with TLS; or redistribution = "public", where '
                "the vendor's terms allow it",
            )


def _is_private(serve: ServeSettings) -> bool:
    """Tell whether nobody but this machine reaches the listener."""
    try:
        is_loopback = Address.parse(serve.listen, "serve.listen").is_loopback
    except SettingsError:
        return True  # told as a problem
    return is_loopback and not serve.trusted_proxies


def _raised(action: Callable[[], object]) -> Iterator[Error]:
    """Yield the error an action ends with."""
    try:
        action()
    except Error as exc:
        yield exc


def _listeners(serve: ServeSettings) -> Iterator[Error]:
    if serve.metrics_listen:
        yield from _raised(lambda: Address.parse(serve.metrics_listen, "serve.metrics_listen"))
    try:
        address = Address.parse(serve.listen, "serve.listen")
    except SettingsError as exc:
        yield exc
        return
    secret = serve.access != "open" and not address.is_loopback
    if secret and serve.tls is None and not serve.tls_terminated_by_proxy:
        yield SettingsError(
            f"serve.listen: {serve.listen}: credentials would travel in the clear",
            hint="set serve.tls, or serve.tls_terminated_by_proxy with serve.trusted_proxies, "
            "or listen on 127.0.0.1",
        )


def _proxies(serve: ServeSettings) -> Iterator[Error]:
    if serve.tls_terminated_by_proxy and not serve.trusted_proxies:
        yield SettingsError(
            "serve.trusted_proxies: empty, though serve.tls_terminated_by_proxy is set",
            hint="name the proxies' addresses or networks",
        )
    for network in serve.trusted_proxies:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as exc:
            yield SettingsError(f"serve.trusted_proxies: {exc}")


def _store(site: MirrorSite) -> Iterator[Error]:
    broken = list(_raised(lambda: site.store))
    yield from broken
    if site.settings.store.is_bucket:
        return  # ``bucket`` asks it
    if not broken and not (site.folder / "r" / "site" / "metadata" / "1.root.json").is_file():
        yield SettingsError(
            f"store.url: {site.folder}: holds no repository", hint="run `sigmirror init` first"
        )


async def bucket(site: MirrorSite) -> Error | None:
    """Ask a bucket for the repository, briefly; return what is wrong, or no answer as it is.

    A folder is not asked: ``serving`` looks at it.
    """
    settings = site.settings.store
    if not settings.is_bucket or any(shape(site.settings)):
        return None
    try:
        store = open_bucket(settings, hurried=True)
        await store.read("r/site/metadata/1.root.json", max_bytes=MAX_ROLE_BYTES)
    except MissingError:
        return SettingsError(
            f"store.url: {settings.url}: holds no repository",
            hint="run `sigmirror init` or `sigmirror copy` first",
        )
    except StoreError as exc:
        return exc
    except SettingsError:
        return None  # told already
    return None


def _licences(site: MirrorSite, now: datetime) -> Iterator[Error]:
    for licence in site.settings.licence:
        yield from _raised(partial(site.standing, licence, now))
        if licence.username and not licence.password_file:
            yield SettingsError(f"licence {licence.name}: password_file: missing")
        if licence.password_file:
            yield from _raised(partial(read_secret, Path(licence.password_file)))
        yield from _not_brought(site, licence, now)


def _not_brought(site: MirrorSite, licence: LicenceSettings, now: datetime) -> Iterator[Error]:
    """Name upstreams of a kind of content that their licence does not bring."""
    try:
        brings = {content.value for content in site.standing(licence, now).licence.content}
    except Error:
        return  # told already
    for upstream in site.settings.upstream:
        if upstream.licence == licence.name and upstream.content not in brings:
            yield SettingsError(
                f"upstream {upstream.name}: content: licence {licence.name} brings "
                f"{', '.join(sorted(brings)) or 'nothing'}, no {upstream.content}"
            )


def _upstreams(site: MirrorSite) -> Iterator[Error]:
    for upstream in site.settings.upstream:
        named = [(key, getattr(upstream, key)) for key in ("folder", "root", "ca_file")]
        named += [("verify_keys", name) for name in upstream.verify_keys]
        for key, value in named:
            if value and not Path(value).exists():
                yield SettingsError(f"upstream {upstream.name}: {key}: {value}: does not exist")
        if [*upstream_problems(upstream)]:  # told already: it is not opened
            yield from _raised(partial(site.licence, upstream))
        else:
            yield from list(_clamav(upstream)) or _raised(partial(_open, site, upstream))


def _open(site: MirrorSite, upstream: UpstreamSettings) -> None:
    """Open an upstream, and the keys that its checks need."""
    site.ingest(upstream.name)
    if upstream.kind == "http":
        from mirror.upstream.http.verifying import check_keys  # noqa: PLC0415 - only where it is used

        check_keys(upstream)


def _clamav(upstream: UpstreamSettings) -> Iterator[Error]:
    if upstream.kind == "clamav":
        settings = clamav.completed(upstream)
        yield from clamav.problems(settings)
        yield from clamav.missing(settings)

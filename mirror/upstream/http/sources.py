"""Which files a feed has, where each lies, and what it is called here."""

from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin, urlsplit

from keys.errors import SettingsError
from keys.model.names import check_path, check_unique
from mirror.feeds import UpstreamSettings
from mirror.upstream.auth import PLACE, Auth

_UNQUOTED = "/!$&'()*+,;=:@~"  # of a name: RFC 3986 §3.3
_WRITTEN = f"{_UNQUOTED}%?#[]"  # of an address as an operator writes it


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the vendor's: the path it is kept under, and its address.

    The path comes from the settings; what the vendor calls the file counts for nothing.
    """

    path: str
    address: str  # may hold the token: never shown

    @property
    def vendor_name(self) -> str:
        """What the vendor calls it, by the address."""
        return unquote(urlsplit(self.address).path.rpartition("/")[2])

    def beside(self, suffix: str) -> "Source":
        """Return the sidecar with this suffix."""
        parts = urlsplit(self.address)
        return Source(f"{self.path}{suffix}", parts._replace(path=f"{parts.path}{suffix}").geturl())


def sources(settings: UpstreamSettings, auth: Auth) -> tuple[Source, ...]:
    """List the files of a feed.

    Raises:
        SettingsError: the address ends in no name and ``save_as`` gives none.
        NameRefusedError: a name no release may hold, or two that clash.

    """
    if not settings.names:
        path = settings.save_as or unquote(urlsplit(settings.url).path.rpartition("/")[2])
        if not path or PLACE in path:
            raise SettingsError(f"upstream {settings.name}: save_as: missing, url ends in no name")
        return (Source(check_path(path), _base(settings, auth)),)
    base = _base(settings, auth)
    found = tuple(
        Source(check_path(name), base + quote(name, safe=_UNQUOTED)) for name in settings.names
    )
    check_unique(source.path for source in found)
    return found


def version_address(settings: UpstreamSettings, auth: Auth) -> str:
    """Return where ``version_at`` leads: a whole address, or one relative to the feed's own.

    Raises:
        SettingsError: the token would go to another host.

    """
    base, at = _base(settings, auth), settings.version_at
    placed = quote(auth.place(at) if PLACE in at else at, safe=_WRITTEN)
    address = urljoin(base, placed)
    if PLACE in at and urlsplit(address)[:2] != urlsplit(base)[:2]:
        raise SettingsError(f"upstream {settings.name}: version_at: {PLACE} on another host")
    return address


def _base(settings: UpstreamSettings, auth: Auth) -> str:
    """Return what names are relative to: the feed's folder, or its one file."""
    placed = quote(auth.place(settings.url), safe=_WRITTEN)
    return f"{placed.rstrip('/')}/" if settings.names else placed

"""How a credential is shown to a vendor: values, put into requests to his own origin only."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from yarl import URL

from keys.credentials import Credential, Secret, read_secret
from keys.errors import SettingsError
from mirror.feeds import UpstreamSettings

PLACE = "{token}"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; with a form it is a POST."""

    url: URL
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Auth:
    """What is added to a request; nothing, unless said.

    ``fields`` go with a form and are no secret. ``token`` has its place in the address.
    ``certificate`` names chain and key, PEM files, for the TLS handshake. ``echoes`` are further
    spellings that must not be written anywhere either.
    """

    headers: Mapping[str, Secret] = field(default_factory=dict)
    query: Mapping[str, Secret] = field(default_factory=dict)
    form: Mapping[str, Secret] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    token: Secret | None = None
    certificate: tuple[str, str] | None = None
    echoes: tuple[Secret, ...] = ()

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Everything that no output may hold."""
        placed = (self.token,) if self.token else ()
        carried = (*self.headers.values(), *self.query.values(), *self.form.values())
        return (*carried, *placed, *self.echoes)

    @property
    def told(self) -> tuple[str, ...]:
        """What a transcript says of it."""
        named = (*self.headers, *(f"query {name}" for name in self.query))
        named += tuple(f"form {name}" for name in self.form)
        named += ("address token",) if self.token else ()
        named += ("client certificate",) if self.certificate else ()
        return tuple(f"{name}: ***" for name in named)

    def __bool__(self) -> bool:
        return bool(self.secrets or self.certificate)

    def place(self, template: str) -> str:
        """Put the token into an address of the settings: at its place, or else behind it."""
        if self.token is None:
            return template
        token = quote(self.token.reveal(), safe="")
        if PLACE in template:
            return template.replace(PLACE, token)
        return f"{template.rstrip('/')}/{token}"

    def show(self, request: Request) -> Request:
        """Return the request with the credential in it; a form makes it a POST."""
        return replace(
            request,
            url=request.url.update_query(_revealed(self.query)) if self.query else request.url,
            method="POST" if self.form else request.method,
            headers={**request.headers, **_revealed(self.headers)},
            form={**request.form, **self.fields, **_revealed(self.form)},
        )


ANONYMOUS = Auth()


def _revealed(secrets: Mapping[str, Secret]) -> dict[str, str]:
    return {name: secret.reveal() for name, secret in secrets.items()}


def basic(credential: Credential) -> Auth:
    """Show a user name and password (RFC 7617)."""
    value = credential.basic()
    encoded = Secret(value.removeprefix("Basic "))
    return Auth(headers={"Authorization": Secret(value)}, echoes=(credential.password, encoded))


def bearer(token: Secret) -> Auth:
    """Show a token as RFC 6750 says."""
    return Auth(headers={"Authorization": Secret(f"Bearer {token.reveal()}")}, echoes=(token,))


def open_auth(settings: UpstreamSettings, credential: Credential | None) -> Auth:
    """Read what the settings name; ``credential`` is the user name and password, if there is one.

    Raises:
        SettingsError: a file that cannot be read, or something missing.

    """
    if settings.auth == "none":
        return ANONYMOUS
    if settings.auth == "mtls":
        return Auth(certificate=(settings.client_cert, settings.client_key))
    if settings.auth == "basic":
        if credential is None:
            raise SettingsError(f"upstream {settings.name}: username: missing, needed for basic")
        return basic(credential)
    return _with_token(settings, read_secret(Path(settings.token_file)))


def _with_token(settings: UpstreamSettings, token: Secret) -> Auth:
    name = settings.auth_name
    if settings.auth == "query":
        return Auth(query={name: token})
    if settings.auth == "form":
        return Auth(form={name: token}, fields=settings.form)
    if settings.auth == "path":
        return Auth(token=token)
    _check_plain(token, settings)
    return Auth(headers={name: token}, echoes=_words(token)) if name else bearer(token)


def _words(token: Secret) -> tuple[Secret, ...]:
    """Return the parts of a header's value, such as ``Bearer abc``, that are secret alone."""
    return tuple(Secret(word) for word in token.reveal().split(" ")[1:] if word)


def _check_plain(token: Secret, settings: UpstreamSettings) -> None:
    text = token.reveal()
    if not (text.isascii() and text.isprintable()):
        raise SettingsError(
            f"upstream {settings.name}: {settings.token_file}: a header holds printable ASCII only"
        )

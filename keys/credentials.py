"""Secrets and the user names they belong to. A secret prints as ``***`` everywhere."""

import base64
import os
import re
from pathlib import Path

import msgspec

from keys.errors import SettingsError, UsageError

MAX_SECRET_BYTES = 4096


class Secret:
    """Text that no log, error or status can show; ``reveal`` is the only way in."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class Credential(msgspec.Struct, frozen=True):
    """A user name and the password that goes with it."""

    username: str
    password: Secret

    def basic(self) -> str:
        """Return the value of an ``Authorization`` header (RFC 7617, UTF-8)."""
        pair = f"{self.username}:{self.password.reveal()}"
        return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def read_secret(path: Path) -> Secret:
    """Read a secret from a file; one trailing line break is not part of it.

    Raises:
        SettingsError: unreadable, empty, not UTF-8, or larger than ``MAX_SECRET_BYTES``.

    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SECRET_BYTES + 1)
        text = data.decode("utf-8")
    except OSError as exc:
        raise SettingsError(f"{path}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"{path}: not UTF-8 text") from exc
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or len(data) > MAX_SECRET_BYTES:
        raise SettingsError(f"{path}: a secret has 1 to MAX_SECRET_BYTES={MAX_SECRET_BYTES} bytes")
    return Secret(text)


def read_credential(path: Path) -> Credential:
    """Read a host's credential file: one line ``NAME:PASSWORD``.

    Raises:
        SettingsError: unreadable or not of this form.

    """
    username, colon, password = read_secret(path).reveal().partition(":")
    if not (username and colon and password):
        raise SettingsError(f"{path}: expected one line NAME:PASSWORD")
    return Credential(username, Secret(password))


def passphrase(file: Path | None, variable: str) -> Secret:
    """Take a passphrase from a file, or else from an environment variable.

    Raises:
        UsageError: neither is given.

    """
    if file is not None:
        return read_secret(file)
    if text := os.environ.get(variable):
        return Secret(text)
    raise UsageError(
        "no passphrase for the key files",
        hint=f"name a file with --passphrase-file, or set {variable}",
    )


_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


def redact_url(url: str) -> str:
    """Return a URL without user name, password, query and fragment."""
    return _USERINFO.sub("***@", url).partition("?")[0].partition("#")[0]

"""The ways to tell somebody: addresses that apprise knows, or a command. No secret leaves here."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from keys import files
from keys.credentials import Secret
from keys.errors import Error, FetchError, SettingsError
from mirror.notices import message
from mirror.notices.deliver import UNKNOWN, Delivery
from mirror.notices.planning import Saying
from mirror.notify_rules import NotifySettings

MAX_URLS_BYTES = 64 << 10
MAX_URLS = 50
_PASSED_ON = ("PATH", "LANG", "HOME", "TZ")
_KEPT_BACK = ("SIGMIRROR_PASSPHRASE",)
_DELIVER = (sys.executable, "-P", "-m", "mirror.notices.deliver")


class Sender(Protocol):
    """One way; ``name`` holds no secret."""

    @property
    def name(self) -> str:
        """Its rule, and its number in it."""
        ...

    def send(self, sayings: Sequence[Saying], *, at: datetime) -> None:
        """Tell it.

        Raises:
            Error: it was not taken.

        """
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """One address of apprise's, such as ``mailtos://…``."""

    name: str
    url: Secret
    timeout_seconds: int

    @property
    def scheme(self) -> str:
        """Its kind, the only part of it that is ever shown."""
        scheme, separator, _ = self.url.reveal().partition("://")
        return scheme[:20] if separator else "?"

    def send(self, sayings: Sequence[Saying], *, at: datetime) -> None:
        """Send one message.

        Raises:
            SettingsError: apprise does not know such an address.
            FetchError: it was not delivered, or took too long.

        """
        del at
        what = f"notify {self.name}: {self.scheme}"
        told = Delivery(self.url.reveal(), message.title(sayings), message.body(sayings))
        kept = {key: value for key, value in os.environ.items() if key not in _KEPT_BACK}
        code = _run(what, _DELIVER, msgspec.json.encode(told), kept, self.timeout_seconds)
        if code == UNKNOWN:
            raise SettingsError(f"{what}: not an address apprise knows")
        if code:
            raise FetchError(f"{what}: not delivered")


@dataclass(frozen=True, slots=True)
class Command:
    """A program that is fed one JSON object on its standard input."""

    name: str
    command: tuple[str, ...]
    timeout_seconds: int

    def send(self, sayings: Sequence[Saying], *, at: datetime) -> None:
        """Run it once.

        Raises:
            FetchError: it cannot be run, takes too long, or ends with another code than 0.

        """
        what = f"notify {self.name}: {self.command[0]}"
        told = message.encoded(self.name.partition("/")[0], sayings, at=at)
        kept = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        if code := _run(what, self.command, told, kept, self.timeout_seconds):
            raise FetchError(f"{what}: ended with {code}")


def _run(
    what: str, command: Sequence[str], told: bytes, environment: Mapping[str, str], seconds: int
) -> int:
    """Run a program that is fed something and heard by nobody; return its exit code.

    Raises:
        FetchError: it cannot be run, or was ended because it took too long.

    """
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, or ours
            command,
            input=told,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        # the cause would tell what the program was fed
        raise FetchError(f"{what}: took longer than {seconds} s") from None
    except OSError as exc:
        raise FetchError(f"{what}: {exc.strerror or exc}") from exc
    return done.returncode


def open_ways(rule: NotifySettings) -> Sequence[Sender]:
    """Open every way of a rule.

    Raises:
        SettingsError: the file of addresses.

    """
    if rule.command:
        return (Command(f"{rule.name}/1", rule.command, rule.timeout_seconds),)
    urls = [*rule.urls, *(_read_urls(Path(rule.urls_file)) if rule.urls_file else ())]
    if len(urls) > MAX_URLS:
        raise SettingsError(f"notify {rule.name}: more than MAX_URLS={MAX_URLS} addresses")
    return tuple(
        Address(f"{rule.name}/{number}", Secret(url), rule.timeout_seconds)
        for number, url in enumerate(urls, start=1)
    )


def _read_urls(path: Path) -> Iterator[str]:
    data = files.read(path, max_bytes=MAX_URLS_BYTES, limit="MAX_URLS_BYTES", error=SettingsError)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not UTF-8 text") from None
    for line in text.splitlines():
        if (url := line.strip()) and not url.startswith("#"):
            yield url


def problem(rule: NotifySettings) -> Error | None:
    """Tell what keeps a rule's ways from being opened."""
    try:
        if not open_ways(rule):
            return SettingsError(f"notify {rule.name}: {rule.urls_file}: holds no address")
    except SettingsError as exc:
        return exc
    return None

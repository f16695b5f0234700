"""The ways to tell somebody: addresses that apprise knows, or a command. No secret leaves here."""

import logging
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from keys import files
from keys.credentials import Secret
from keys.errors import Error, FetchError, SettingsError
from mirror.notices import message
from mirror.notices.planning import Saying
from mirror.notify_rules import NotifySettings

MAX_URLS_BYTES = 64 << 10
MAX_URLS = 50
_PASSED_ON = ("PATH", "LANG", "HOME", "TZ")


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

    @property
    def scheme(self) -> str:
        """Its kind, the only part of it that is ever shown."""
        return self.url.reveal().partition("://")[0][:20]

    def send(self, sayings: Sequence[Saying], *, at: datetime) -> None:
        """Send one message.

        Raises:
            SettingsError: apprise does not know such an address.
            FetchError: it was not delivered.

        """
        del at
        import apprise  # noqa: PLC0415 - takes long, and is used only where there is a rule

        with _silent():
            asset = apprise.AppriseAsset(
                app_id="sigmirror",
                app_desc="sigmirror",
                secure_logging=True,
                async_mode=False,
                plugin_paths=[],
            )
            sender = apprise.Apprise(asset=asset)
            if not sender.add(self.url.reveal()):
                raise SettingsError(
                    f"notify {self.name}: {self.scheme}: not an address apprise knows"
                )
            sent = sender.notify(
                title=message.title(sayings),
                body=message.body(sayings),
                body_format=apprise.NotifyFormat.TEXT,
            )
        if not sent:
            raise FetchError(f"notify {self.name}: {self.scheme}: not delivered")


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
        rule = self.name.partition("/")[0]
        kept = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command
                self.command,
                input=message.encoded(rule, sayings, at=at),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=self.timeout_seconds,
                env=kept,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise FetchError(f"{what}: took longer than {self.timeout_seconds} s") from exc
        except OSError as exc:
            raise FetchError(f"{what}: {exc.strerror or exc}") from exc
        if done.returncode:
            raise FetchError(f"{what}: ended with {done.returncode}")


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
        Address(f"{rule.name}/{number}", Secret(url)) for number, url in enumerate(urls, start=1)
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


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what libraries log of addresses out of every log."""
    loggers = [logging.getLogger(name) for name in ("apprise", "requests", "urllib3")]
    before = [(one, one.level) for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for one, level in before:
            one.setLevel(level)

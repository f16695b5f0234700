"""Mirrors in order: the first that delivers is used; one that failed is left out for the run."""

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from keys.errors import (
    DigestError,
    Error,
    FetchError,
    MissingError,
    RefusedError,
    SettingsError,
)
from updater.fetch import answers
from updater.fetch.answers import BusyError
from updater.fetch.connection import Connections, Way, check_mirror
from updater.fetch.pace import Pace, Traffic

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

MAX_RETRY_AFTER_SECONDS = 120
MAX_RESUMES = 20
MAX_ERROR_PAGE_BYTES = 64 << 10
FIRST_BACK_OFF_SECONDS = 0.5
LONGEST_BACK_OFF_SECONDS = 30.0


class Download(Protocol):
    """Something to fetch, which may take several answers to complete."""

    done: int

    def headers(self) -> Mapping[str, str]:
        """Return the headers to ask with, given what is there already."""
        ...

    def wants(self, status: int) -> bool:
        """Tell whether a status that is usually an error is understood by ``take``."""
        ...

    def take(self, response: "BaseHTTPResponse", pieces: Callable[[int], Iterator[bytes]]) -> None:
        """Take an answer's body, ``pieces(max_bytes)``; ``done`` counts the bytes there are.

        Raises:
            FetchError: it is not complete yet.
            DigestError: this mirror's bytes are not the promised ones.

        """
        ...


class Mirrors:
    """An ordered list of base addresses, asked as one."""

    def __init__(self, addresses: Sequence[str], way: Way, pace: Pace, traffic: Traffic) -> None:
        if not addresses:
            raise SettingsError("mirrors: none is named", hint='mirrors = ["https://…"]')
        self._addresses = [check_mirror(address, way) for address in addresses]
        self._failed: set[str] = set()
        self._connections = Connections(way, traffic)
        self._pace = pace
        self._max_attempts = way.limits.max_attempts

    def fetch(self, path: str, download: Download, *, first_answer: bool = False) -> None:
        """Complete a download from the mirrors, in order, with back-off between rounds.

        An attempt that brought bytes nearer does not count, up to ``MAX_RESUMES`` of them.
        With ``first_answer`` a mirror that does not have the path is believed.

        Raises:
            MissingError: no mirror has it.
            CredentialError, LicenceEndedError: a mirror said so; nothing is tried again.
            DigestError: no mirror has the promised bytes.
            FetchError, LimitError: no mirror delivered.

        """
        attempt = resumes = 0
        while True:
            done = download.done
            error = self._round(path, download, first_answer=first_answer)
            if error is None:
                return
            if download.done > done and resumes < MAX_RESUMES:
                resumes += 1
                attempt = 0
            else:
                attempt += 1
            if not error.retryable or attempt >= self._max_attempts:
                raise error
            self._pace.wait(self._delay(error, attempt), path)

    def post(self, path: str, body: bytes) -> tuple[int, float, bytes]:
        """Send a body to the first mirror that answers.

        Returns status, the seconds of Retry-After, and the answer where it is a short one.

        Raises:
            FetchError: no mirror answered.

        """
        errors: list[FetchError] = []
        for address in self._addresses:
            try:
                status, headers, data = self._connections.post(f"{address}/{path}", body)
            except FetchError as exc:
                errors.append(exc)
                continue
            wait = answers.retry_after(headers.get("Retry-After", ""), now=datetime.now(UTC))
            return status, wait, data
        raise errors[0]

    def _round(self, path: str, download: Download, *, first_answer: bool) -> Error | None:
        """Ask each mirror once; return the error that says most, or None for success."""
        errors: list[Error] = []
        for address in self._in_use():
            try:
                self._ask(f"{address}/{path}", download)
            except MissingError as exc:
                if first_answer:
                    raise
                errors.append(exc)
            except (FetchError, DigestError) as exc:
                self._failed.add(address)
                errors.append(exc)
            else:
                return None
            self._pace.check(path)
        return max(errors, key=_weight)

    def _in_use(self) -> list[str]:
        """List the mirrors that have not failed; all of them when every one has."""
        if self._failed.issuperset(self._addresses):
            self._failed.clear()
        return [address for address in self._addresses if address not in self._failed]

    def _ask(self, url: str, download: Download) -> None:
        with self._connections.get(url, download.headers()) as response:
            now = datetime.now(UTC)
            error = answers.failure(response.status, response.headers, url, now=now)
            if error is not None and not download.wants(response.status):
                self._drain(response, url)
                raise error
            download.take(
                response,
                lambda max_bytes: self._pace.pieces(response, url, max_bytes=max_bytes),
            )

    def _drain(self, response: "BaseHTTPResponse", url: str) -> None:
        """Read an error's page away, so that its connection serves the next request."""
        with contextlib.suppress(FetchError):
            for _ in self._pace.pieces(response, url, max_bytes=MAX_ERROR_PAGE_BYTES):
                pass

    @staticmethod
    def _delay(error: Error, attempt: int) -> float:
        if isinstance(error, BusyError):
            if error.retry_after > MAX_RETRY_AFTER_SECONDS:
                raise RefusedError(
                    f"{error}: asks to come again in {error.retry_after:.0f} s",
                    hint="the next run tries again",
                ) from error
            return error.retry_after
        longest = min(LONGEST_BACK_OFF_SECONDS, FIRST_BACK_OFF_SECONDS * 2.0**attempt)
        return random.uniform(longest / 2, longest)  # noqa: S311 - spreads load, hides nothing

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()


def _weight(error: Error) -> tuple[bool, bool, bool]:
    """Order errors by what they tell: wrong bytes, then what may pass, then not there."""
    return isinstance(error, DigestError), error.retryable, not isinstance(error, MissingError)

"""Is what lies on disk what was installed? Every file in force and its blobs hashed again."""

from collections.abc import Iterator
from datetime import datetime

from keys.errors import Error, TrustError
from updater.engines.base import Engine
from updater.integrity import Finding, Integrity
from updater.library import Library, digest
from updater.place import HostPlace, Place
from updater.settings import Settings
from updater.state import Generation


class Verifier:
    """Looks at one engine: its history, its generation in force, the blobs of that."""

    def __init__(self, place: Place, engine: Engine) -> None:
        self._place = place
        self._integrity = Integrity(place, engine)
        self._library = Library(place.host.blobs)

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong, the worst included as untrusted (exit code 3)."""
        try:
            self._place.history.check()
            generation = self._place.in_force(self._place.state.load())
            if generation is None:
                yield self._integrity.finding("nothing is installed")
                return
            yield from self._integrity.findings(generation)
            yield from self._blobs(generation)
        except Error as exc:
            yield self._integrity.finding(str(exc), exc.exit_code)

    def _blobs(self, generation: Generation) -> Iterator[Finding]:
        expected = self._integrity.expected(generation)
        for file in {file.sha256: file for file in expected.values()}.values():
            path = self._library.path(file.pin)
            if not path.is_file():
                yield self._integrity.finding(f"{path}: is missing")
            elif digest(path) != file.pin:
                yield self._integrity.finding(f"{path}: was changed", TrustError.exit_code)


def metadata_findings(settings: Settings, host: HostPlace, *, now: datetime) -> Iterator[Finding]:
    """Verify the trusted metadata of every repository again, from disk alone."""
    from keys.trust.repository import Repository  # noqa: PLC0415 - loads the TUF library

    for one in settings.repository:
        folder = host.trust(one.name)
        repository = Repository(one.name, folder / "metadata", folder / "clock.json")
        what = f"repository {one.name}"
        try:
            for reason in repository.load(now=now).reasons:
                yield Finding(what, reason)
        except Error as exc:
            yield Finding(what, str(exc), exc.exit_code)

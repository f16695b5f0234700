"""Everything a command needs, built from the settings: the only place that puts it together."""

import os
import pwd
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from keys import settings as toml
from keys.errors import UsageError
from updater import remote_settings
from updater.channels import channel_names
from updater.engines import kinds
from updater.place import HostPlace, Place
from updater.probation import Chosen, Probation, choose
from updater.settings import EngineSettings, Settings
from updater.textfile import showing
from updater.turn import Turn
from updater.update import Update

if TYPE_CHECKING:  # loaded only when something has to be fetched
    from updater.fetch import Fetcher, Progress

DEFAULT_CONFIG = "/etc/sigmirror/sigupdate.toml"
CONFIG_VARIABLE = "SIGUPDATE_CONFIG"


def now() -> datetime:
    """Take the time once, at the edge of a command."""
    return datetime.now(UTC)


class Host(msgspec.Struct, frozen=True):
    """One scanner host as its settings describe it."""

    chosen: Chosen
    local: Mapping[str, Any]
    trying: bool = False

    @classmethod
    def load(cls, config: Path, *, trying: bool = False, textfile: str = "") -> "Host":
        """Read the settings, the site's among them, and, when started by root, become their user.

        With ``trying`` a fragment on probation counts, and a run may judge it. A ``textfile`` goes
        before the one of the settings.

        Raises:
            SettingsError: the file, or a name in it.
            UsageError: the user does not exist.

        """
        local = toml.parse_raw(toml.read(config), str(config))
        if textfile:
            local["metrics"] = {"textfile": textfile}
        settings = remote_settings.own(local, str(config))
        become(settings.user)
        known = HostPlace.of(settings).fragments.known()
        return cls(choose(local, known, str(config), trying=trying), local, trying)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.chosen.settings

    @property
    def place(self) -> HostPlace:
        """Where the updater's own things lie."""
        return HostPlace.of(self.settings)

    def engines(self, only: str = "") -> Sequence[EngineSettings]:
        """List the engines, or the one of this name.

        Raises:
            UsageError: there is none.

        """
        chosen = [e for e in self.settings.engine if only in {"", e.name}]
        if not chosen:
            named = f"no engine {only!r}" if only else "no [[engine]]"
            raise UsageError(f"{named} in the settings")
        return chosen

    def turns(self, *, at: datetime, only: str = "", ask_engine: bool = True) -> list[Turn]:
        """Make a turn for each engine.

        Raises:
            SettingsError: an engine's settings.

        """
        return [self._turn(engine, at, ask_engine) for engine in self.engines(only)]

    def update(
        self,
        *,
        at: datetime,
        only: str = "",
        ask_engine: bool = True,
        progress: "Progress | None" = None,
    ) -> Update:
        """Make one run.

        Raises:
            SettingsError: an engine's settings, a mirror's address, the credential file.

        """
        with showing(self.settings, now=at):
            turns = self.turns(at=at, only=only, ask_engine=ask_engine)
        active = self.trying and ask_engine and not only
        return Update(
            self.settings, turns, lambda: self._open(progress), now=at, whole=not only,
            probation=Probation(self.place.fragments, self.chosen, active=active),
        )  # fmt: skip

    def _open(self, progress: "Progress | None") -> "Fetcher":
        from updater.fetch import Fetcher  # noqa: PLC0415 - start-up time, see updater.ask

        if progress is None:
            return Fetcher.of(self.settings)
        return Fetcher.of(self.settings, progress=progress)

    def _turn(self, engine: EngineSettings, at: datetime, ask_engine: bool) -> Turn:
        place = Place.of(self.place, engine)
        return Turn(
            settings=engine,
            place=place,
            engine=kinds.make(engine, place.generations.folder),
            channels=channel_names(self.settings, engine.channels),
            now=at,
            ask_engine=ask_engine,
        )


def become(user: str) -> None:
    """Change from root to a user for the rest of the process; nothing for anyone else.

    Raises:
        UsageError: there is no such user.

    """
    if not user or os.geteuid() != 0:
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError as exc:
        raise UsageError(f"user: {user!r}: no such user on this host") from exc
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = entry.pw_dir


def say(text: str) -> None:
    """Print one line on stdout."""
    sys.stdout.write(text + "\n")


def say_json(value: object) -> None:
    """Print a value on one line of JSON on stdout."""
    say(msgspec.json.encode(value).decode())


def complain(message: str, hint: str) -> None:
    """Print an error that does not end the command on stderr."""
    sys.stderr.write(f"error: {message}\n" + (f"hint: {hint}\n" if hint else ""))

"""Channels as the settings write them, and the repositories they belong to."""

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from keys.errors import NameRefusedError, SettingsError
from keys.model.names import check_channel
from updater.settings import EngineSettings, RepositorySettings, Settings

SITE = "site"  # a mirror's own repository
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class ChannelName(msgspec.Struct, frozen=True):
    """A channel as the settings write it, and what that means."""

    written: str
    repository: RepositorySettings
    name: str

    @property
    def full(self) -> str:
        """The channel as its mirror calls it: with the repository, unless that is its own."""
        return self.name if self.repository.name == SITE else f"{self.repository.name}/{self.name}"


def channel_names(settings: Settings, channels: Iterable[str]) -> Mapping[str, ChannelName]:
    """Resolve channels as the settings write them: NAME, or REPOSITORY/NAME.

    Raises:
        SettingsError: no such repository is configured.

    """
    known = {repository.name: repository for repository in settings.repository}
    if not known:
        raise SettingsError("repository: at least one [[repository]] is needed")
    found = {}
    for written in channels:
        repository, _, name = written.rpartition("/")
        chosen = known.get(repository) if repository else settings.repository[0]
        if chosen is None:
            raise SettingsError(f"engine: channels: {written!r}: no repository {repository!r}")
        found[written] = ChannelName(written, chosen, name)
    return found


def check_names(settings: Settings) -> None:
    """Refuse names that cannot be folders, are given twice, or mean nothing.

    Raises:
        SettingsError: naming the key.

    """
    _check_tables("repository", [repository.name for repository in settings.repository])
    _check_tables("engine", [engine.name for engine in settings.engine])
    known = {repository.name for repository in settings.repository}
    for repository in settings.repository:
        if repository.policy and repository.policy not in known:
            raise SettingsError(f"repository: policy: no repository {repository.policy!r}")
    _check_folder("state", settings.state)
    if settings.metrics.textfile:
        _check_textfile("metrics.textfile", settings.metrics.textfile)
    for engine in settings.engine:
        _check_channels(engine)
        if engine.folder:
            _check_folder(f"engine {engine.name}: folder", engine.folder)


def _check_tables(key: str, names: Sequence[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise SettingsError(f"{key}: name: {name!r}: use letters, digits, '-' and '_'")
        if names.count(name) > 1:
            raise SettingsError(f"{key}: name: {name!r} is given twice")


def _check_folder(key: str, folder: str) -> None:
    if not folder.startswith("/"):
        raise SettingsError(f"{key}: {folder!r}: write the whole path, from /")


def _check_textfile(key: str, path: str) -> None:
    _check_folder(key, path)
    if not path.endswith(".prom"):
        raise SettingsError(f"{key}: {path!r}: node_exporter reads names that end in .prom")


def _check_channels(engine: EngineSettings) -> None:
    if not engine.channels:
        raise SettingsError(f"engine {engine.name}: channels: none is named")
    for written in engine.channels:
        if engine.channels.count(written) > 1:
            raise SettingsError(f"engine {engine.name}: channels: {written!r} is given twice")
        try:
            check_channel(written.rpartition("/")[2])
        except NameRefusedError as exc:
            raise SettingsError(f"engine {engine.name}: channels: {exc}", hint=exc.hint) from exc

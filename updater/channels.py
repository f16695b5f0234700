"""Channels as the settings write them, and the repositories they belong to."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keys.errors import SettingsError
from updater.settings import RepositorySettings, Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class ChannelName:
    """A channel as the settings write it, and what that means."""

    written: str
    repository: RepositorySettings
    name: str


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
    for key, tables in (("repository", settings.repository), ("engine", settings.engine)):
        names = [table.name for table in tables]
        for name in names:
            if not _NAME.fullmatch(name):
                raise SettingsError(f"{key}: name: {name!r}: use letters, digits, '-' and '_'")
            if names.count(name) > 1:
                raise SettingsError(f"{key}: name: {name!r} is given twice")
    known = {repository.name for repository in settings.repository}
    for repository in settings.repository:
        if repository.policy and repository.policy not in known:
            raise SettingsError(f"repository: policy: no repository {repository.policy!r}")

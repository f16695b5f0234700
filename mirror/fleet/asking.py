"""One question to the desk, for commands and for whatever runs beside the server."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from mirror.fleet.roster import HostRow
from mirror.settings import Settings

if TYPE_CHECKING:  # who asks nothing never loads the database library
    from mirror.fleet.desk import Desk

T = TypeVar("T")


def has_desk(settings: Settings) -> bool:
    """Tell whether there is a database to ask; one of our own begins with the first report."""
    fleet = settings.fleet
    own = settings.folder / "state" / "fleet.db"
    return fleet.enabled and (bool(fleet.database) or own.exists())


async def asked(
    settings: Settings, question: "Callable[[Desk], Awaitable[T]]", *, upgrade: bool = True
) -> T:
    """Open the desk for one question; ``upgrade`` as of ``open_desk``.

    Raises:
        SettingsError, StateError: as ``open_desk``, and as the question.

    """
    from mirror.fleet.desk import open_desk  # noqa: PLC0415 - see above

    desk = await open_desk(settings, upgrade=upgrade)
    try:
        return await question(desk)
    finally:
        await desk.database.close()


async def known_hosts(settings: Settings, *, upgrade: bool = True) -> list[HostRow]:
    """Return every host that reported; none where no reports are kept. ``upgrade`` as above.

    Raises:
        SettingsError, StateError: as ``asked``.

    """
    if not has_desk(settings):
        return []
    return await asked(settings, lambda desk: desk.hosts(), upgrade=upgrade)

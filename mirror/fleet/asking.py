"""One question to the desk, for commands and for whatever runs beside the server."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from mirror.fleet.roster import HostRow
from mirror.fleet.turnout import is_news
from mirror.settings import Settings

if TYPE_CHECKING:  # who asks nothing never loads the database library
    from mirror.fleet.desk import Desk
    from mirror.fleet.tasks import Kept, Run

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


async def fleet_of(
    settings: Settings, *, now: datetime, upgrade: bool = True
) -> tuple[list[HostRow], list["Kept"], list["Run"]]:
    """Return every host that reported, the tasks that were due of late, and their newest runs.

    Raises:
        SettingsError, StateError: as ``asked``.

    """
    if not has_desk(settings):
        return [], [], []
    from mirror.fleet.tasks import Tasks  # noqa: PLC0415 - see above

    async def question(desk: "Desk") -> tuple[list[HostRow], list["Kept"], list["Run"]]:
        tasks = Tasks(desk.database)
        recent = [kept for kept in await tasks.every() if is_news(kept, now)]
        return await desk.hosts(), recent, await tasks.newest_runs(recent, now=now)

    return await asked(settings, question, upgrade=upgrade)


async def known_hosts(settings: Settings, *, upgrade: bool = True) -> list[HostRow]:
    """Return every host that reported; none where no reports are kept. ``upgrade`` as above.

    Raises:
        SettingsError, StateError: as ``asked``.

    """
    if not has_desk(settings):
        return []
    return await asked(settings, lambda desk: desk.hosts(), upgrade=upgrade)

"""Progress bars on the operator's terminal: one for each file on its way. Loads rich."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, TaskID


class Bars:
    """Shown on stderr from the first download on, gone at the end, however the run ends."""

    def __init__(self) -> None:
        self._bars = Progress(console=Console(stderr=True), transient=True)
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how far one file is; a finished one gives its line to the next."""
        if what not in self._tasks:
            self._bars.start()
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done)
        if done >= total:
            self._bars.remove_task(self._tasks.pop(what))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

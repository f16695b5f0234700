"""Rules that never count: the list of them that lies in a generation.

They are compiled and evaluated as all others, so that rules which build on them go on; only their
own matches are told to nobody. A rule belongs to the place its file has in the generation: a
channel's folder, or one file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from keys.errors import HostError
from updater.engines.base import IGNORED_STEM

FILE_NAME = f"{IGNORED_STEM}.json"
MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Ignored:
    """Names of rules by place."""

    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def hides(self, namespace: str, rule: str) -> bool:
        """Tell whether a rule's matches do not count; ``namespace`` is its file."""
        return any(
            rule in names
            for place, names in self.places.items()
            if namespace == place or namespace.startswith(f"{place}/")
        )

    def encoded(self) -> bytes:
        """Write the list."""
        return msgspec.json.encode(self.places, order="sorted") + b"\n"


NOTHING = Ignored()


def read(folder: Path) -> Ignored:
    """Read the list of a generation; without one, every rule counts.

    Raises:
        HostError: it is damaged.
        OSError: it cannot be read.

    """
    try:
        with (folder / FILE_NAME).open("rb") as file:
            return Ignored(
                msgspec.json.decode(file.read(MAX_FILE_BYTES), type=dict[str, tuple[str, ...]])
            )
    except FileNotFoundError:
        return NOTHING
    except msgspec.DecodeError as exc:
        raise HostError(f"{folder / FILE_NAME}: {exc}") from exc

"""A generation's rule files, and what tells two sets of them apart.

Each file is compiled in a namespace of its own, named after its place in the generation: two files
may use one rule name, and a ``global`` rule holds for its own file only, so no file can switch off
another's detections. ``include`` is refused: nothing outside the generation is ever read.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

EXTENSIONS = frozenset({".yar", ".yara"})
DEFAULT_EXTERNALS: tuple[str, ...] = (
    "filename",
    "filepath",
    "extension",
    "filetype",
    "owner",
    "md5",
)

Sources = Mapping[str, bytes]


def holds_rules(name: str) -> bool:
    """Tell whether a file of this name is one of rules."""
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def read(folder: Path) -> Sources:
    """Read the rule files of a generation by name, in the order of their names; no hidden ones."""
    found: dict[str, bytes] = {}
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if holds_rules(name) and not name.startswith("."):
                path = Path(root, name)
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return dict(sorted(found.items()))


def key(sources: Sources, externals: Iterable[str], version: str) -> str:
    """Reduce all that decides what is compiled to one value."""
    digest = hashlib.sha256(f"{version}\n{','.join(sorted(externals))}\n".encode())
    for name, source in sources.items():
        digest.update(f"{name}\0{hashlib.sha256(source).hexdigest()}\n".encode())
    return digest.hexdigest()

"""What clamd reads in its folder: file names, which of them silence detections, and duplicates.

Layout of a generation: a signed or packed container (``daily.cvd``) keeps its own name, by which
ClamAV knows it; every other file is named after its channel and path, ``<channel>--<path>`` with
``--`` for each ``/``, so that no channel can take another's name. Files ClamAV would not load
stay out of the folder.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

from keys.errors import EngineError
from keys.model.release import File
from updater.engines.base import MARKER_PREFIX

CONTAINERS = frozenset({".cvd", ".cld", ".cud"})
# .cud is an unsigned container of any of the others; .ftm changes what a file is taken for.
SUPPRESSING = frozenset(
    {".ign", ".ign2", ".fp", ".sfp", ".wdb", ".cfg", ".crb", ".cat", ".cud", ".ftm"}
)
_SIGNATURES = CONTAINERS | frozenset(
    {".cbc", ".cdb", ".db", ".hdb", ".hdu", ".hsb", ".hsu", ".ioc", ".ldb", ".ldu", ".mdb"}
    | {".mdu", ".msb", ".msu", ".ndb", ".ndu", ".sdb", ".yar", ".yara"}
)
_BESIDE_SIGNATURES = frozenset({".gdb", ".idb", ".imp", ".pdb", ".pwdb", ".rmd", ".zmd"})
LOADED = _SIGNATURES | SUPPRESSING | _BESIDE_SIGNATURES
MAX_NAME_BYTES = 255  # of a file name, on the file systems of Linux


def extension(name: str) -> str:
    """Tell a name's extension as ClamAV reads it: without regard to case."""
    return PurePosixPath(name.rpartition("/")[2]).suffix.lower()


def is_signatures(name: str) -> bool:
    """Tell whether a file is there for its signatures, not for what surrounds them."""
    return extension(name) in _SIGNATURES


def layout(channel: str, files: Iterable[File]) -> dict[str, File]:
    """Name the files clamd reads inside the generation folder.

    Raises:
        EngineError: two files would get one name, one has a marker's name or a too long one,
            or one database comes under two names.

    """
    chosen: dict[str, File] = {}
    for file in files:
        if extension(file.path) not in LOADED:
            continue
        name = flat_name(channel, file.path)
        if name in chosen:
            raise EngineError(
                f"{channel}: {chosen[name].path!r} and {file.path!r} would both be named {name!r}"
            )
        if file.path.rpartition("/")[2].startswith(MARKER_PREFIX):
            raise EngineError(f"{channel}: {file.path!r} has the name of a marker")
        if len(name.encode()) > MAX_NAME_BYTES:
            raise EngineError(f"{channel}: {file.path!r}: more than {MAX_NAME_BYTES=} as {name!r}")
        chosen[name] = file
    check_duplicates(chosen)
    return chosen


def flat_name(channel: str, path: str) -> str:
    """Name one file inside the generation folder."""
    name = path.rpartition("/")[2]
    if extension(name) in CONTAINERS:
        return name
    return "--".join((*channel.split("/"), *path.split("/")))


def check_duplicates(names: Iterable[str]) -> None:
    """Refuse one database under two names, such as ``daily.cvd`` beside ``daily.cld``.

    Raises:
        EngineError: naming both.

    """
    seen: dict[str, str] = {}
    for name in sorted(names):
        if extension(name) in CONTAINERS:
            other = seen.setdefault(PurePosixPath(name).stem, name)
            if other != name:
                raise EngineError(
                    f"{other!r} and {name!r} are the same database: clamd would drop one of them",
                    hint="let only one channel, or only one form of the file, into this engine",
                )

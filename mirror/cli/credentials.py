"""Handing credentials over: on the terminal, into a file, or into a folder with one for each."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from keys import files
from keys.credentials import Secret
from keys.errors import StateError, UsageError

MAX_LIST_BYTES = 16 << 20
_FOLDER_MODE = 0o700
_MODE = 0o600


def read_names(path: Path) -> list[str]:
    """Read names from a file: one on each line; ``#`` begins a comment.

    Raises:
        UsageError: unreadable, not UTF-8, or no name in it.

    """
    data = files.read(path, max_bytes=MAX_LIST_BYTES, limit="MAX_LIST_BYTES", error=UsageError)
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path}: not UTF-8 text") from exc
    names = [name for line in lines if (name := line.partition("#")[0].strip())]
    if not names:
        raise UsageError(f"{path}: names no host")
    return names


def check_place(out: Path | None) -> None:
    """Refuse a place where no file can be made, before anything is changed.

    Raises:
        UsageError: its folder is none, or it is a folder itself.

    """
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        where = out if out.is_dir() else out.parent
        reason = "is a folder" if out.is_dir() else "is no folder"
        raise UsageError(f"{out}: {where} {reason}; nothing was changed")


def hand_over(text: str, out: Path | None, *, hint: str) -> None:
    """Print a secret line, or write it to a file that only its owner reads.

    Raises:
        StateError: it cannot be written; ``hint`` says how to get another.

    """
    if out is None:
        click.echo(text)
        return
    try:
        files.write(out, text.encode() + b"\n", mode=_MODE)
    except OSError as exc:
        raise StateError(f"{out}: {exc.strerror or exc}", hint=hint) from exc
    click.echo(f"wrote {out}")


@contextmanager
def handing_over(folder: Path, secrets: Mapping[str, Secret]) -> Iterator[Sequence[Path]]:
    """Write ``NAME.cred`` for each into a folder; when the block fails, none of them stays.

    Raises:
        UsageError: one of them is there already, or a file is in the folder's place.
        StateError: one cannot be written.

    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is no folder; nothing was changed")
    paths = {folder / f"{name}.cred": f"{name}:{one.reveal()}\n" for name, one in secrets.items()}
    if taken := [str(path) for path in paths if path.exists()]:
        raise UsageError(f"{', '.join(taken)}: exists; nothing was changed")
    written: list[Path] = []
    try:
        if not folder.is_dir():
            files.make_folder(folder)
            folder.chmod(_FOLDER_MODE)
        for path, text in paths.items():
            files.write(path, text.encode(), mode=_MODE)
            written.append(path)
        yield written
    except BaseException as exc:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(exc, OSError):
            raise StateError(f"{folder}: {exc.strerror or exc}; nothing was changed") from exc
        raise

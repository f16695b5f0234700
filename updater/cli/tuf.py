"""`sigupdate tuf`: the client protocol of the TUF conformance suite, by the production code.

Three commands, their options before them; the exit code is 0 or 1 and nothing else.
"""

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from keys import ending, files
from keys.errors import DigestError, Error, TrustError, UsageError
from keys.model.release import Pin, blob_name
from keys.trust import delegations
from keys.trust.repository import Repository
from keys.trust.tuf_api import TargetFile
from updater.fetch import Fetcher, Metadata, quote_target

MAX_FILE_NAME = 200


class VerdictGroup(click.Group):
    """A group that knows two exit codes: 0 for success, 1 for everything else."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:  # noqa: ANN401 - click's own
        """Read the options."""
        with _verdict():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own
        """Run the command."""
        with _verdict():
            return super().invoke(ctx)


@contextlib.contextmanager
def _verdict() -> Iterator[None]:
    try:
        yield
    except click.ClickException as exc:
        exc.show()
        raise click.exceptions.Exit(ending.FAILED) from exc
    except Error as exc:
        ending.report(exc)
        raise click.exceptions.Exit(ending.FAILED) from exc


@dataclass(frozen=True, slots=True)
class Place:
    """Where metadata and targets come from, and where they go."""

    metadata_dir: Path
    metadata_url: str
    target_names: tuple[str, ...]
    target_base_url: str
    target_dir: Path | None

    def repository(self) -> Repository:
        """Open the trusted copy."""
        return Repository("tuf", self.metadata_dir, self.metadata_dir / "clock")


@click.group(cls=VerdictGroup)
@click.option("--metadata-dir", required=True, type=click.Path(path_type=Path))
@click.option("--metadata-url", default="")
@click.option("--target-name", "target_names", multiple=True)
@click.option("--target-base-url", default="")
@click.option("--target-dir", type=click.Path(path_type=Path))
@click.pass_context
def tuf(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - the options above
    """Act as a plain TUF client, for the conformance suite and for diagnosis.

    Example: sigupdate tuf --metadata-dir D --metadata-url https://m.example/r/site/metadata refresh
    """
    ctx.obj = Place(**options)


@tuf.command()
@click.argument("root", type=click.Path(path_type=Path))
@click.pass_obj
def init(place: Place, root: Path) -> None:
    """Trust the root in a file; no request is made."""
    try:
        data = root.read_bytes()
    except OSError as exc:
        raise UsageError(f"{root}: {exc.strerror or exc}") from exc
    place.repository().bootstrap(data)


@tuf.command()
@click.pass_obj
def refresh(place: Place) -> None:
    """Bring the top-level metadata up to date."""
    with _source(place) as source:
        place.repository().refresh(source, now=datetime.now(UTC))


@tuf.command()
@click.pass_obj
def download(place: Place) -> None:
    """Refresh, then fetch each named target in order; the first failure ends it."""
    if place.target_dir is None or not (place.target_base_url and place.target_names):
        raise UsageError("download needs --target-name, --target-base-url and --target-dir")
    repository = place.repository()
    with _source(place) as source, Fetcher((place.target_base_url,)) as targets:
        repository.refresh(source, now=datetime.now(UTC))
        for name in place.target_names:
            listed = repository.find_listing(name, source)
            if listed is None:
                raise TrustError(f"{name}: no trusted role lists it")
            prefixed = repository.consistent_snapshot
            _bring(targets, name, listed, place.target_dir / file_name(name), prefixed=prefixed)


@contextlib.contextmanager
def _source(place: Place) -> Iterator[Metadata]:
    if not place.metadata_url:
        raise UsageError("--metadata-url is missing")
    with Fetcher((place.metadata_url,)) as fetcher:
        yield Metadata(fetcher, "")


def _bring(fetcher: Fetcher, name: str, listed: TargetFile, place: Path, *, prefixed: bool) -> None:
    """Fetch a target unless its very bytes are in place already."""
    digest = listed.hashes.get("sha256") or next(iter(listed.hashes.values()))
    path = quote_target(blob_name(name, digest) if prefixed else name)
    if "sha256" in listed.hashes:
        _bring_blob(fetcher, path, delegations.pin(name, listed), place)
        return
    with contextlib.suppress(OSError, DigestError):
        delegations.check(name, listed, place.read_bytes())
        return
    data = delegations.check(name, listed, fetcher.read_path(path, max_bytes=listed.length))
    place.parent.mkdir(parents=True, exist_ok=True)
    files.write(place, data, mode=0o444)


def _bring_blob(fetcher: Fetcher, path: str, pin: Pin, place: Path) -> None:
    if place.is_file() and _pin_of(place) == pin:
        return
    incoming = place.parent / ".incoming"
    try:
        files.promote(fetcher.blob_at(path, place.name, pin, incoming), place)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _pin_of(path: Path) -> Pin:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Pin(digest, path.stat().st_size)


def file_name(target: str) -> str:
    """Name the one file a target is stored in, whatever its name holds."""
    name = quote(target, safe="")
    if len(name) <= MAX_FILE_NAME and not name.startswith("."):
        return name
    return f"@{hashlib.sha256(target.encode()).hexdigest()}"

"""Rules in compiled form: made from sources, kept in one file, never believed without its digest.

The file is a line of JSON and then yara-x's own serialized rules. It stands in its generation
under a hidden name that is not one of rules. A file that is torn, changed, made of other sources
or by another yara-x counts as not there.
"""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from keys import files
from keys.errors import EngineError, HostError
from updater.engines.yara.ignored import NOTHING, Ignored
from updater.engines.yara.sources import Sources

if TYPE_CHECKING:
    import yara_x

FILE_NAME = ".compiled.yarx"
FILE_MODE = 0o444
FORMAT = 1
MAX_HEADER_BYTES = 4096
MAX_COMPILED_BYTES = 1 << 30
MAX_REFUSALS = 5  # named in one message


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Compiled rules, ready to scan, how many they are, and which of them never count."""

    rules: "yara_x.Rules"
    count: int
    ignored: Ignored = NOTHING


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a compiled file says of itself."""

    format: int
    key: str
    rules: int
    length: int
    sha256: str


def version() -> str:
    """Tell the version of yara-x.

    Raises:
        HostError: it is not installed.

    """
    from importlib import metadata  # noqa: PLC0415 - start-up time

    try:
        return metadata.version("yara-x")
    except metadata.PackageNotFoundError as exc:
        raise HostError(
            "yara-x is not installed", hint="install sigmirror with its extra: sigmirror[yara]"
        ) from exc


def compile_rules(sources: Sources, externals: Iterable[str]) -> Ruleset:
    """Compile all rule files.

    Raises:
        EngineError: at least one was refused; file and line of the first ones are named.

    """
    import yara_x  # noqa: PLC0415 - start-up time

    compiler = yara_x.Compiler(includes_enabled=False)
    for name in externals:
        compiler.define_global(name, "")
    refused: list[str] = []
    seen = 0
    for name, source in sources.items():
        compiler.new_namespace(name)
        try:
            compiler.add_source(source.decode("utf-8"), origin=name)
        except UnicodeDecodeError as exc:
            line = 1 + source[: exc.start].count(b"\n")
            refused.append(f"{name}:{line}: not UTF-8")
        except yara_x.CompileError:
            errors = compiler.errors()
            refused.append(f"{name}:{errors[seen]['line']}: {errors[seen]['title']}")
            seen = len(errors)
    if refused:
        more = f" and {len(refused) - MAX_REFUSALS} more" if len(refused) > MAX_REFUSALS else ""
        raise EngineError(f"yara-x: {'; '.join(refused[:MAX_REFUSALS])}{more}")
    rules = compiler.build()
    return Ruleset(rules, sum(1 for _ in rules))


def write(path: Path, ruleset: Ruleset, key: str) -> None:
    """Keep compiled rules in a file."""
    buffer = io.BytesIO()
    ruleset.rules.serialize_into(buffer)
    data = buffer.getvalue()
    header = _Header(FORMAT, key, ruleset.count, len(data), hashlib.sha256(data).hexdigest())
    files.write(path, msgspec.json.encode(header) + b"\n" + data, mode=FILE_MODE)


def read(path: Path, key: str) -> Ruleset | None:
    """Load compiled rules made from what ``key`` stands for, None where there are none."""
    import yara_x  # noqa: PLC0415 - start-up time

    found = _payload(path, key)
    if found is None:
        return None
    header, data = found
    try:
        return Ruleset(yara_x.Rules.deserialize_from(io.BytesIO(data)), header.rules)
    except OSError:
        return None


def _payload(path: Path, key: str) -> tuple[_Header, bytes] | None:
    try:
        with path.open("rb") as file:
            header = msgspec.json.decode(file.readline(MAX_HEADER_BYTES), type=_Header)
            data = file.read(min(header.length, MAX_COMPILED_BYTES) + 1)
    except (OSError, msgspec.DecodeError, OverflowError, ValueError):
        return None
    whole = len(data) == header.length and hashlib.sha256(data).hexdigest() == header.sha256
    return (header, data) if whole and (header.format, header.key) == (FORMAT, key) else None

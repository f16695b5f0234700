"""Definitions to measure with: made up for one run, or genuine ones kept beside the checkout."""

import hashlib
import os
import secrets
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "SIGMIRROR_REAL_DATA"
BESIDE = Path(__file__).parents[2] / "shared" / "data"
STRINGS_PER_RULE = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """Text that one definition of a release finds, under this name."""

    name: str
    text: bytes

    @classmethod
    def fresh(cls) -> "Sample":
        """Draw a sample no release has held before."""
        word = secrets.token_hex(16)
        return cls(f"Bench_{word[:8]}", f"bench:{word}".encode())


def write_clamav(folder: Path, signatures: int) -> Sample:
    """Write that many ClamAV signatures as the only content of a folder."""
    sample = Sample.fresh()
    empty(folder)
    with (folder / "bench.hsb").open("w") as file:
        file.writelines(hash_lines(signatures - 1, sample.name))
    (folder / "bench.ndb").write_text(f"{sample.name}:0:*:{sample.text.hex()}\n")
    return sample


def write_yara(folder: Path, signatures: int) -> Sample:
    """Write that many YARA strings, up to ``STRINGS_PER_RULE`` in a rule, in a file of a folder."""
    sample = Sample.fresh()
    empty(folder)
    names = [hashlib.sha256(f"{sample.name} {n}".encode()).hexdigest() for n in range(signatures)]
    names[-1] = sample.text.decode()
    with (folder / "bench.yar").open("w") as file:
        for start in range(0, signatures, STRINGS_PER_RULE):
            strings = names[start : start + STRINGS_PER_RULE]
            listed = "".join(f'  $s{n} = "{text}"\n' for n, text in enumerate(strings))
            head = f"rule {sample.name}_{start} {{\n strings:\n"
            file.write(f"{head}{listed} condition:\n  any of them\n}}\n")
    return sample


def write_large(folder: Path, length: int) -> None:
    """Write one file of ClamAV signatures of at least ``length`` bytes."""
    empty(folder)
    line = len("0" * 64 + ":1000000:Bench.0000000\n")
    with (folder / "bench.hsb").open("w") as file:
        file.writelines(hash_lines(length // line + 1, secrets.token_hex(4)))


def hash_lines(count: int, tag: str) -> Iterator[str]:
    """Yield that many hash signatures, each 88 bytes long."""
    for number in range(count):
        digest = hashlib.sha256(f"{tag} {number}".encode()).hexdigest()
        yield f"{digest}:{number % 9000000 + 1000000}:Bench.{number:07}\n"


def empty(folder: Path) -> None:
    """Make a folder, or remove the files in it."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()


def signature_base(folder: Path, day: str) -> bool:
    """Unpack signature-base of a day; False where the genuine definitions are not at hand."""
    archive = genuine(f"yara/signature-base-{day}.tar.gz")
    if archive is None:
        return False
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return True


def genuine(name: str) -> Path | None:
    """Locate a genuine file; None where the genuine definitions are not at hand."""
    path = Path(os.environ.get(VARIABLE) or BESIDE) / name
    return path if path.exists() else None


def write_archive(path: Path) -> None:
    """Pack one small file of rules."""
    rules = path.with_name("little.rules")
    rules.write_text("a rule\n")
    with tarfile.open(path, "w:gz") as packed:
        packed.add(rules, rules.name)

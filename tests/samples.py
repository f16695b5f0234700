"""Definitions and samples made on the spot: harmless text, and rules that find it."""

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """Harmless bytes that one rule of ours finds."""

    name: str
    data: bytes

    @classmethod
    def fresh(cls, name: str) -> "Sample":
        """Make a sample no other run has."""
        return cls(name, f"sigmirror {name} {secrets.token_hex(24)}\n".encode())

    @property
    def rule_name(self) -> str:
        """Its name as an identifier."""
        return self.name.replace("-", "_")

    def yara(self) -> str:
        """Write a YARA rule that finds it."""
        text = self.data.decode().strip()
        return f'rule {self.rule_name} {{ strings: $a = "{text}" condition: $a }}\n'

    def ndb(self) -> str:
        """Write a ClamAV .ndb line that finds it."""
        return f"{self.name}:0:*:{self.data.hex()}\n"


CLEAN = b"an ordinary letter that nothing should find\n"


def write_yara(folder: Path, samples: list[Sample], *, files: int = 5, tag: str = "") -> None:
    """Fill a folder with ``files`` rule files; the samples' rules are spread over them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, files + 1):
        rules = f"// {tag}\nrule filler_{number} {{ condition: filesize == {number} and false }}\n"
        rules += "".join(s.yara() for i, s in enumerate(samples) if i % files == number - 1)
        (folder / f"rules-{number}.yar").write_text(rules)


def write_ndb(folder: Path, samples: list[Sample]) -> None:
    """Fill a folder with one ClamAV database that finds the samples."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "samples.ndb").write_text("".join(sample.ndb() for sample in samples))


def hash_lines(count: int, *, seed: str = "sigmirror") -> str:
    """Write ``count`` ClamAV .hsb lines that find nothing, the same ones for the same seed."""
    return "".join(
        f"{hashlib.sha256(f'{seed}-{n}'.encode()).hexdigest()}:{1000 + n % 90000}:Filler.{n}:73\n"
        for n in range(count)
    )

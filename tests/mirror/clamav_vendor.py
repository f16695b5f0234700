"""Releases of a genuine signed test database, version by version, as a ClamAV upstream brings."""

import io
from collections.abc import Iterable
from pathlib import Path

from keys.model.release import Assurance, File, Pin, Provenance
from keys.trust.vendor.cvd import expand_cvd
from mirror.upstream.base import Candidate
from tests.real_data import real_data

CHANNEL = "clamav"
VERSIONS = (1, 2, 3)


def genuine(name: str) -> bytes:
    """Return a file of the vendor's, such as ``test-2.cdiff``."""
    return (real_data("clamav/testdb") / name).read_bytes()


def originals(
    version: int, *, lost: Iterable[int] = (), database: str = "test"
) -> dict[str, bytes]:
    """Return what stands at the vendor's once this version is out; ``lost`` cdiffs are not."""
    steps = [number for number in range(2, version + 1) if number not in lost]
    names = [f"test-{number}.cdiff{sign}" for number in steps for sign in ("", ".sign")]
    found = {name: genuine(name) for name in (*names, f"test-{version}.cvd.sign")}
    found["test.cvd"] = genuine(f"test-{version}.cvd")
    return {name.replace("test", database, 1): data for name, data in found.items()}


def brought(
    folder: Path, version: int, *, lost: Iterable[int] = (), database: str = "test",
    assurance: Assurance = Assurance.signed,
) -> Candidate:  # fmt: skip
    """Describe a version as a verified release: a .cld for hosts, the vendor's own bytes."""
    folder.mkdir(parents=True)
    kept = originals(version, lost=lost, database=database)
    for name, data in kept.items():
        (folder / name).write_bytes(data)
    cld = folder / f"{database}.cld"
    with (folder / f"{database}.cvd").open("rb") as whole, cld.open("wb") as expanded:
        container = expand_cvd(whole, expanded, "test.cvd")
    return Candidate(
        release=f"{database} {version}",
        vendor_time=container.built,
        assurance=assurance,
        provenance=Provenance("clamav", vendor_version=str(version)),
        folder=folder,
        files=(_file(cld.name, cld.read_bytes()),),
        originals=tuple(_file(name, data) for name, data in sorted(kept.items())),
    )


def bytecode(folder: Path, version: int) -> Candidate:
    """Describe a genuine official database of some size, without cdiffs."""
    folder.mkdir(parents=True)
    data = (real_data("clamav/bytecode") / f"bytecode-{version}.cvd").read_bytes()
    (folder / "bytecode.cvd").write_bytes(data)
    expanded = io.BytesIO()
    container = expand_cvd(io.BytesIO(data), expanded, "bytecode.cvd")
    (folder / "bytecode.cld").write_bytes(expanded.getvalue())
    return Candidate(
        release=f"bytecode {version}",
        vendor_time=container.built,
        assurance=Assurance.signed,
        provenance=Provenance("clamav", vendor_version=str(version)),
        folder=folder,
        files=(_file("bytecode.cld", expanded.getvalue()),),
        originals=(_file("bytecode.cvd", data),),
    )


def _file(name: str, data: bytes) -> File:
    pin = Pin.of(data)
    return File(name, pin.sha256, pin.length)

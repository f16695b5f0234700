"""ClamAV's own programs, made to believe the vendor of the tests.

Their library carries the vendor's public keys as decimal text. A copy of it with other digits, put
in its place for one process, judges databases of the tests exactly as it judges genuine ones.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from keys.trust.vendor.rsa import CLAMAV
from tests.clamav_vendor import VENDOR

_LIBRARY = re.compile(r"(libclamav\.so\S*) => (\S+)")


def substituted(folder: Path) -> dict[str, str] | None:
    """Return the environment for ClamAV's programs; None where none is installed."""
    program = shutil.which("sigtool")
    if program is None:
        return None
    linked = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    library = _LIBRARY.search(linked)
    if library is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / library[1]).write_bytes(_with_our_keys(Path(library[2]).read_bytes()))
    return {**os.environ, "LD_LIBRARY_PATH": str(folder)}


def _with_our_keys(library: bytes) -> bytes:
    for theirs, ours in ((CLAMAV.header, VENDOR.keys.header), (CLAMAV.info, VENDOR.keys.info)):
        old = str(theirs.modulus).encode()
        new = str(ours.modulus).encode().rjust(len(old), b"0")
        assert library.count(old) == 1
        assert len(new) == len(old)
        library = library.replace(old, new)
    return library

"""A database unpacked into a folder, as a cdiff's script changes it."""

import hashlib
from pathlib import Path

from keys.errors import DigestError, FormatError
from keys.trust.vendor import rsa
from keys.trust.vendor.container import COPYING, Container, certified
from keys.trust.vendor.content import chunks
from keys.trust.vendor.info import (
    MAX_INFO_BYTES,
    SUFFIX,
    Info,
    Member,
    check_complete,
    check_member,
    verify_info,
)


def verify_unpacked(folder: Path, name: str, *, keys: rsa.Keys = rsa.CLAMAV) -> Container:
    """Verify the files in a folder against the signed ``.info`` among them.

    Raises:
        FormatError: no ``.info``, or several; something that is not a file.
        SignatureError: the ``.info`` is not signed.
        DigestError: a member is not what it says, missing, or added.
        LimitError: beyond a limit of ``.info`` files.

    """
    paths = {path.name: path for path in folder.iterdir()}
    info = _info(paths, name, keys)
    listed = {member.name: member for member in info.members}
    for file_name in sorted(paths.keys() - {COPYING, info.name}):
        if file_name not in listed:
            raise DigestError(f"{name}: {file_name} was added: its signed .info does not list it")
        check_member(_measured(paths[file_name], name), listed[file_name], name)
    check_complete(set(paths), info, name)
    return certified(info, info.members, "info", keys.info.name)


def _info(paths: dict[str, Path], name: str, keys: rsa.Keys) -> Info:
    found = [path for path in paths.values() if path.suffix == SUFFIX]
    if len(found) != 1:
        raise FormatError(f"{name}: {len(found)} .info files, where one must be")
    with found[0].open("rb") as file:
        return verify_info(file.read(MAX_INFO_BYTES + 1), found[0].name, name, keys=keys)


def _measured(path: Path, name: str) -> Member:
    if path.is_symlink() or not path.is_file():
        raise FormatError(f"{name}: {path.name} is not a regular file")
    digest, length = hashlib.sha256(), 0
    with path.open("rb") as file:
        for chunk in chunks(file):
            digest.update(chunk)
            length += len(chunk)
    return Member(path.name, length, digest.hexdigest())

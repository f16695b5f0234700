"""Signatures of a release's plain files, made when it is published: nothing signs while serving.

A file that the release before has under the same name keeps the signature it got then.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime

from keys.errors import Error
from keys.model.release import File, Manifest, Pin
from keys.model.sidecars import (
    MAX_SIDECARS_BYTES,
    Sidecars,
    decode_sidecars,
    encode_sidecars,
    sidecars_target,
)
from keys.signing.minisign import SidecarSigner
from mirror.repository import StoredRepository
from mirror.upstream.base import Candidate

Signed = Mapping[tuple[str, str], str]
"""Signatures by a file's path and sha256."""


async def add_sidecars(
    repository: StoredRepository,
    candidate: Candidate,
    signer: SidecarSigner,
    *,
    channel: str,
    sequence: int,
    last: Manifest | None,
    now: datetime,
) -> Pin:
    """Put the signatures of a candidate's files into the store; return what to pin."""
    known = await _known(repository, signer, last)
    sidecars = await asyncio.to_thread(_sign, candidate, signer, known, now)
    data = await asyncio.to_thread(encode_sidecars, sidecars)
    await repository.add(sidecars_target(channel, sequence), Pin.of(data), data)
    return Pin.of(data)


def _sign(candidate: Candidate, signer: SidecarSigner, known: Signed, now: datetime) -> Sidecars:
    signatures: dict[str, str] = {}
    for file in (*candidate.files, *candidate.originals):
        signature = known.get((file.path, file.sha256))
        signatures[file.path] = signature or _signature(candidate, file, signer, now)
    return Sidecars(signer.public_text.decode(), signatures)


def _signature(candidate: Candidate, file: File, signer: SidecarSigner, now: datetime) -> str:
    with (candidate.folder / file.path).open("rb") as content:
        return signer.sign(content, file.path, at=now).decode()


async def _known(
    repository: StoredRepository, signer: SidecarSigner, last: Manifest | None
) -> Signed:
    """Read the signatures of the release before; damaged or another key's, all are made anew."""
    if last is None or last.sidecars is None:
        return {}
    target = sidecars_target(last.channel, last.sequence)
    try:
        data = await repository.read(target, last.sidecars, max_bytes=MAX_SIDECARS_BYTES)
        sidecars = await asyncio.to_thread(decode_sidecars, data, target)
        files = (*await repository.files(last), *last.originals)
    except Error:
        return {}
    if sidecars.key != signer.public_text.decode():
        return {}
    return {
        (file.path, file.sha256): sidecars.signatures[file.path]
        for file in files
        if file.path in sidecars.signatures
    }

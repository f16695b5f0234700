"""A candidate into the store: is it new? its files, its list, its manifest."""

from collections.abc import Iterable
from dataclasses import dataclass

from keys.model.release import (
    Content,
    File,
    Manifest,
    Pin,
    Redistribution,
    encode_file_list,
    file_list_target,
    file_target,
)
from mirror.catalogue import Catalogue
from mirror.edition import Edition
from mirror.rollout import next_sequence
from mirror.upstream.base import Candidate


@dataclass(frozen=True, slots=True)
class Label:
    """What the operator says of a release: it stands in the manifest."""

    engine: str = ""  # what its files are for
    content: Content = "definitions"
    redistribution: Redistribution = "public"


NO_LABEL = Label()


async def is_same(edition: Edition, latest: Manifest, candidate: Candidate, label: Label) -> bool:
    """Tell whether a candidate has the files, originals and terms of a release."""
    if (latest.content, latest.redistribution) != (label.content, label.redistribution):
        return False
    if _content(latest.originals) != _content(candidate.originals):
        return False
    listed = await edition.repository.files(latest)
    return _content(listed) == _content(candidate.files)


def _content(files: Iterable[File]) -> dict[str, Pin]:
    return {file.path: file.pin for file in files}


async def add_files(edition: Edition, channel: str, candidate: Candidate) -> int:
    """Put the files into the store; return the bytes that were new."""
    new_bytes = 0
    for file in (*candidate.files, *candidate.originals):
        target, source = file_target(channel, file.path), candidate.folder / file.path
        if await edition.repository.add(target, file.pin, source):
            new_bytes += file.length
    return new_bytes


async def add_list(
    edition: Edition, catalogue: Catalogue, candidate: Candidate, label: Label
) -> Manifest:
    """Put the file list into the store and write the manifest that pins it."""
    sequence = next_sequence(catalogue.releases)
    data = encode_file_list(candidate.files)
    pin = Pin.of(data)
    await edition.repository.add(file_list_target(catalogue.channel, sequence), pin, data)
    return Manifest(
        format=1,
        channel=catalogue.channel,
        sequence=sequence,
        release=candidate.release,
        published=edition.now.replace(microsecond=0),
        vendor_time=candidate.vendor_time,
        assurance=candidate.assurance,
        engine=label.engine,
        provenance=candidate.provenance,
        file_list=pin,
        originals=candidate.originals,
        signatures=candidate.signatures,
        redistribution=label.redistribution,
        content=label.content,
    )

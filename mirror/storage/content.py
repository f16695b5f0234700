"""What is put into a store: its length and digests, known before the first byte is sent."""

import base64
import contextlib
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mirror.storage.base import CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that can be read again from their beginning; ``md5`` is what S3 calls Content-MD5."""

    file: BinaryIO
    length: int
    sha256: str
    md5: str

    @classmethod
    @contextlib.contextmanager
    def opened(cls, content: bytes | Path) -> Iterator["Content"]:
        """Open bytes or a file and read them once."""
        with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
            yield cls._measured(file)

    @classmethod
    def _measured(cls, file: BinaryIO) -> "Content":
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        while data := file.read(CHUNK_BYTES):
            sha256.update(data)
            md5.update(data)
        length = file.tell()
        file.seek(0)
        return cls(file, length, sha256.hexdigest(), base64.b64encode(md5.digest()).decode())

    def parts(self, part_bytes: int) -> Iterator["Content"]:
        """Cut it into parts, in order; each is held in memory while it is sent."""
        while data := self.file.read(part_bytes):
            yield self._measured(io.BytesIO(data))

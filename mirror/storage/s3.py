"""A bucket of S3, or of what speaks like it: the one file that knows boto3. Every call blocks.

An object carries its sha256, and each whole read is checked against it: checksums of their own are
not verified by every such store. A request is tried ``ATTEMPTS`` times; a creation carries a token
besides, by which one whose answer was lost is told from another writer's.
"""

import contextlib
import hashlib
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from keys.errors import ConflictError, LimitError, StoreError
from mirror.settings import Addressing
from mirror.storage import codes
from mirror.storage.base import Stat
from mirror.storage.content import Content
from mirror.storage.upload import Upload

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import GetObjectOutputTypeDef

ATTEMPTS = 4
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
HURRIED_ATTEMPTS = 2  # by who serves: its clients wait
HURRIED_CONNECT_SECONDS = 2.0
HURRIED_READ_SECONDS = 10.0
MAX_CONNECTIONS = 16
_Result = TypeVar("_Result")


class Endpoint:
    """Where buckets are; its client keeps its connections, and may be used by several threads.

    Who is ``hurried`` gives up sooner on a store that does not answer.
    """

    def __init__(
        self, url: str, region: str, addressing: Addressing, *,
        profile: str = "", hurried: bool = False,
    ) -> None:  # fmt: skip
        self._hurried = hurried
        self._url = url
        self._region = region
        self._addressing = addressing
        self._profile = profile
        self._making = threading.Lock()

    @property
    def client(self) -> "S3Client":
        """The client; the first one to ask makes it."""
        with self._making:
            return self._client

    @cached_property
    def _client(self) -> "S3Client":
        attempts = HURRIED_ATTEMPTS if self._hurried else ATTEMPTS
        return boto3.session.Session(profile_name=self._profile or None).client(
            "s3",
            endpoint_url=self._url or None,
            region_name=self._region or None,
            config=Config(
                signature_version="s3v4",  # addresses would be signed in an older way
                connect_timeout=HURRIED_CONNECT_SECONDS if self._hurried else CONNECT_SECONDS,
                read_timeout=HURRIED_READ_SECONDS if self._hurried else READ_SECONDS,
                retries={"total_max_attempts": attempts, "mode": "standard"},
                max_pool_connections=MAX_CONNECTIONS,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": self._addressing},
            ),
        )


class Bucket:
    """Objects by key."""

    def __init__(self, endpoint: Endpoint, name: str, *, part_bytes: int) -> None:
        self.name = name
        self._endpoint = endpoint
        self._part_bytes = part_bytes

    def stat(self, key: str) -> Stat:
        """Tell an object's length and version.

        Raises:
            MissingError: it is not there.

        """
        with _translated(key):
            found = self._client.head_object(Bucket=self.name, Key=key)
        return Stat(found["ContentLength"], found["ETag"], found["LastModified"])

    def read(self, key: str, max_bytes: int) -> bytes:
        """Return an object's bytes.

        Raises:
            LimitError: there are more than ``max_bytes``.
            StoreError: they are not those that were written.

        """

        def ask() -> "GetObjectOutputTypeDef":
            return self._client.get_object(Bucket=self.name, Key=key)

        def take(found: "GetObjectOutputTypeDef") -> bytes:
            if found["ContentLength"] > max_bytes:
                raise LimitError(f"{key}: more than max_bytes={max_bytes}")
            data, promised = found["Body"].read(), _tag(found["Metadata"], "sha256")
            if promised and hashlib.sha256(data).hexdigest() != promised:
                raise StoreError(
                    f"{key}: not the bytes that were written", hint="restore the object"
                )
            return data

        with _translated(key):
            return _whole(ask, take)

    def address(self, key: str, seconds: int) -> str:
        """Return a URL with which anybody may get an object for so long."""
        with _translated(key):
            return self._client.generate_presigned_url(
                "get_object", Params={"Bucket": self.name, "Key": key}, ExpiresIn=seconds
            )

    def part(self, key: str, start: int, stop: int, version: str) -> bytes:
        """Return the bytes from ``start`` to before ``stop`` of one version.

        Raises:
            StoreError: the object has another version by now, or is shorter.

        """

        def ask() -> "GetObjectOutputTypeDef":
            return self._client.get_object(
                Bucket=self.name, Key=key, Range=f"bytes={start}-{stop - 1}", IfMatch=version
            )

        def take(found: "GetObjectOutputTypeDef") -> tuple[bytes, str]:
            whole = start and not found.get("ContentRange", "").startswith(f"bytes {start}-")
            return b"" if whole else found["Body"].read(stop - start), found["ETag"]

        with _translated(key):
            data, got = _whole(ask, take)
        if len(data) != stop - start or got != version:
            raise StoreError(f"{key}: not the bytes asked for: it was changed meanwhile")
        return data

    def create(self, key: str, content: bytes | Path, *, unconditional: bool) -> None:
        """Add an object; ``unconditional`` where the caller keeps other writers away.

        A large one goes in parts. Not every store keeps the last step of that from overwriting;
        only blobs are so large, and two of one name hold the same bytes.

        Raises:
            ConflictError: the key is taken.

        """
        token = secrets.token_hex(8)
        with _translated(key), Content.opened(content) as opened:
            tags = {"sha256": opened.sha256, "writer": token}
            in_parts = opened.length > self._part_bytes
            if in_parts or unconditional:
                self._refuse_taken(key)
            try:
                if in_parts:
                    self._put_parts(key, opened, tags)
                else:
                    self._put(key, opened, tags, over=unconditional)
            except ClientError as exc:
                lost = _code(exc) in codes.TAKEN | codes.NO_UPLOAD
                if not lost or self._writer(key) != token:
                    raise

    def replace(self, key: str, data: bytes) -> None:
        """Set an object's bytes by one request."""
        with _translated(key), Content.opened(data) as content:
            self._put(key, content, {"sha256": content.sha256}, over=True)

    def delete(self, key: str) -> None:
        """Remove an object."""
        with _translated(key):
            self._client.delete_object(Bucket=self.name, Key=key)

    def pages(self, prefix: str) -> Iterator[list[str]]:
        """List keys, page by page."""
        with _translated(prefix):
            listing = self._client.get_paginator("list_objects_v2")
            for page in listing.paginate(Bucket=self.name, Prefix=prefix):
                yield [found["Key"] for found in page.get("Contents", ())]

    def abort_uploads(self, prefix: str, *, before: datetime) -> None:
        """Forget what was sent in parts, begun before a time, and never ended."""
        with _translated(prefix):
            try:
                for upload in Upload.pending(self._client, self.name, prefix, before=before):
                    upload.abort()
            except ClientError as exc:  # how some stores say that there are none
                if _code(exc) not in codes.NO_UPLOAD:
                    raise

    @property
    def _client(self) -> "S3Client":
        return self._endpoint.client

    def _refuse_taken(self, key: str) -> None:
        if self._writer(key) is not None:
            raise ConflictError(f"{key}: exists already")

    def _writer(self, key: str) -> str | None:
        """Tell whose creation an object is, by its token; None where there is no object."""
        try:
            found = self._client.head_object(Bucket=self.name, Key=key)
        except ClientError as exc:
            if _code(exc) in codes.ABSENT:
                return None
            raise
        return _tag(found["Metadata"], "writer")

    def _put(self, key: str, content: Content, tags: Mapping[str, str], *, over: bool) -> None:
        if over:
            self._client.put_object(
                Bucket=self.name, Key=key, Metadata=tags,
                Body=content.file, ContentMD5=content.md5,
            )  # fmt: skip
        else:
            self._client.put_object(
                Bucket=self.name, Key=key, Metadata=tags,
                Body=content.file, ContentMD5=content.md5, IfNoneMatch="*",
            )  # fmt: skip

    def _put_parts(self, key: str, content: Content, tags: Mapping[str, str]) -> None:
        upload = Upload.begun(self._client, self.name, key, tags)
        try:
            upload.send(content, self._part_bytes)
        except BaseException:
            with contextlib.suppress(ClientError, BotoCoreError):
                upload.abort()
            raise


def _whole(
    ask: Callable[[], "GetObjectOutputTypeDef"],
    take: Callable[["GetObjectOutputTypeDef"], _Result],
) -> _Result:
    """Ask again when an answer was cut, which boto3 itself does not, or torn by a replacement."""
    for _ in range(ATTEMPTS - 1):
        found = ask()
        with (
            contextlib.suppress(HTTPClientError, IncompleteReadError, StoreError),
            contextlib.closing(found["Body"]),
        ):
            return take(found)
    found = ask()
    with contextlib.closing(found["Body"]):
        return take(found)


def _tag(metadata: Mapping[str, str], key: str) -> str:
    """Read what an object says of itself; some stores change the case of its keys."""
    return {name.lower(): value for name, value in metadata.items()}.get(key, "")


def _code(exc: ClientError) -> str:
    return exc.response.get("Error", {}).get("Code", "")


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn boto3's errors into a store's."""
    try:
        yield
    except ClientError as exc:
        message = exc.response.get("Error", {}).get("Message", "")
        raise codes.error(_code(exc), name, message) from exc
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as exc:
        raise codes.anonymous(name) from exc
    except BotoCoreError as exc:
        raise codes.unreachable(name, type(exc).__name__) from exc
    except OSError as exc:
        raise StoreError(f"{exc.filename or name}: {exc.strerror or exc}") from exc

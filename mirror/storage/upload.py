"""An object on its way into a bucket in parts; the client is handed in. Every call blocks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mirror.storage.content import Content

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef


@dataclass(frozen=True, slots=True)
class Upload:
    """What was begun under an id, and is no object before it ends."""

    client: "S3Client"
    bucket: str
    key: str
    id: str

    @classmethod
    def begun(cls, client: "S3Client", bucket: str, key: str, tags: Mapping[str, str]) -> "Upload":
        """Begin one."""
        begun = client.create_multipart_upload(Bucket=bucket, Key=key, Metadata=tags)
        return cls(client, bucket, key, begun["UploadId"])

    @classmethod
    def pending(
        cls, client: "S3Client", bucket: str, prefix: str, *, before: datetime
    ) -> Iterator["Upload"]:
        """List those that were begun before a time and never ended."""
        listing = client.get_paginator("list_multipart_uploads")
        for page in listing.paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Uploads", ()):
                if found["Initiated"] < before:
                    yield cls(client, bucket, found["Key"], found["UploadId"])

    def send(self, content: Content, part_bytes: int) -> None:
        """Send the parts in order; the last step makes the object."""
        parts = enumerate(content.parts(part_bytes), 1)
        sent = [self._send_part(number, part) for number, part in parts]
        self.client.complete_multipart_upload(
            Bucket=self.bucket, Key=self.key, UploadId=self.id,
            MultipartUpload={"Parts": sent}, IfNoneMatch="*",
        )  # fmt: skip

    def abort(self) -> None:
        """Forget the parts that were sent."""
        self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=self.id)

    def _send_part(self, number: int, part: Content) -> "CompletedPartTypeDef":
        sent = self.client.upload_part(
            Bucket=self.bucket, Key=self.key, UploadId=self.id, PartNumber=number,
            Body=part.file, ContentMD5=part.md5,
        )  # fmt: skip
        return {"PartNumber": number, "ETag": sent["ETag"]}

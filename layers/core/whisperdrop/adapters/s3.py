"""The object store port on S3 and whatever speaks its API."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from botocore.exceptions import ClientError

from whisperdrop.adapters.aws import error_code, store_errors
from whisperdrop.errors import LostRaceError, MediaTooLargeError, UnsafeStoreError
from whisperdrop.ports import Folders, ObjectInfo, PresignedUpload, StoredObject, UploadedPart

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BINARY = "application/octet-stream"
_AFTER_SLASH = chr(ord("/") + 1)
_CHUNK = 1 << 20  # bytes read at a time while downloading


class S3ObjectStore:
    """One bucket, through an S3 client that is safe to share among threads."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def get(self, key: str) -> StoredObject | None:
        with store_errors("reading from storage"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
                return StoredObject(answer["Body"].read(), answer["ETag"])
            except ClientError as error:
                if _missing(error):
                    return None
                raise

    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        with store_errors("reading from storage"):
            try:
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=key, Range=f"bytes={start}-{start + length - 1}"
                )
                return answer["Body"].read()
            except ClientError as error:
                if _missing(error):
                    return None
                if error_code(error)[1] == 416:  # the object ends before
                    return b""
                raise

    def head(self, key: str) -> ObjectInfo | None:
        with store_errors("reading from storage"):
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if _missing(error):
                    return None
                raise
        return ObjectInfo(
            key=key,
            size=answer["ContentLength"],
            etag=answer["ETag"],
            modified=answer["LastModified"],
            metadata=answer.get("Metadata", {}),
            content_type=answer.get("ContentType", _BINARY),
        )

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        content_type: str = _BINARY,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        with store_errors("writing to storage"):
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ContentType=content_type,
                Metadata=metadata or {},
            )

    def create(self, key: str, body: bytes, content_type: str = "application/json") -> str:
        return self._write_if(key, body, content_type, IfNoneMatch="*")

    def replace(
        self, key: str, body: bytes, etag: str, content_type: str = "application/json"
    ) -> str:
        return self._write_if(key, body, content_type, IfMatch=etag)

    def _write_if(self, key: str, body: bytes, content_type: str, **condition: Any) -> str:
        with store_errors("writing to storage"):
            try:
                answer = self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, **condition
                )
            except ClientError as error:
                # 412: the condition failed. 409: a concurrent conditional write. 404: If-Match on
                # an object that was deleted. All three mean that the document is not what we read.
                if error_code(error)[1] in {404, 409, 412} and not _no_bucket(error):
                    raise LostRaceError(f"{key} was written by somebody else") from error
                if error_code(error)[1] == 501:
                    raise UnsafeStoreError(
                        "this object store has no conditional writes (501 to If-Match or "
                        "If-None-Match on PutObject). Use one that has: S3, MinIO, Ceph, R2"
                    ) from error
                raise
        return answer["ETag"]

    def delete(self, key: str) -> None:
        with store_errors("deleting from storage"):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        with store_errors("listing storage"):
            for page in pages:
                for entry in page.get("Contents", []):
                    yield ObjectInfo(
                        entry["Key"], entry["Size"], entry["ETag"], entry["LastModified"]
                    )

    def list_folders(self, prefix: str, *, after: str = "", limit: int = 1000) -> Folders:
        asked: dict[str, Any] = {"Delimiter": "/", "MaxKeys": limit}
        if after:
            # All that lies in that folder sorts before this; started after the folder itself, S3
            # would answer the folder again because of what is in it.
            asked["StartAfter"] = f"{prefix}{after}{_AFTER_SLASH}"
        with store_errors("listing storage"):
            page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, **asked)
        found = (entry["Prefix"] for entry in page.get("CommonPrefixes", []))
        names = tuple(folder[len(prefix) : -1] for folder in found)
        return Folders(names, page["IsTruncated"])

    def create_multipart(
        self, key: str, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> str:
        with store_errors("writing to storage"):
            answer = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType=content_type, Metadata=metadata or {}
            )
        return answer["UploadId"]

    def list_multipart(self, key: str, upload_id: str) -> tuple[UploadedPart, ...] | None:
        pages = self._client.get_paginator("list_parts").paginate(
            Bucket=self._bucket, Key=key, UploadId=upload_id
        )
        with store_errors("reading from storage"):
            try:
                return tuple(
                    UploadedPart(part["PartNumber"], part["Size"], part["ETag"])
                    for page in pages
                    for part in page.get("Parts", [])
                )
            except ClientError as error:
                if _missing(error):
                    return None
                raise

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> bool:
        with store_errors("writing to storage"):
            try:
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=upload_id,
                    MultipartUpload={
                        "Parts": [{"PartNumber": p.number, "ETag": p.etag} for p in parts]
                    },
                )
            except ClientError as error:
                if _missing(error):
                    return False
                raise
        return True

    def abort_multipart(self, key: str, upload_id: str) -> None:
        with store_errors("deleting from storage"):
            try:
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=key, UploadId=upload_id
                )
            except ClientError as error:
                if not _missing(error):
                    raise

    def download(self, key: str, path: Path, max_bytes: int | None = None) -> int | None:
        with store_errors("reading from storage"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if _missing(error):
                    return None
                raise
            if max_bytes is not None and answer["ContentLength"] > max_bytes:
                answer["Body"].close()
                raise MediaTooLargeError.over(answer["ContentLength"], max_bytes)
            with path.open("wb") as file:
                for chunk in answer["Body"].iter_chunks(_CHUNK):
                    file.write(chunk)
                return file.tell()


class S3Presigner:
    """Presigned requests. Its client must use SigV4 and the address that clients see."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def presign_put(
        self,
        key: str,
        *,
        size: int,
        content_type: str,
        expires_s: int,
        metadata: Mapping[str, str] | None = None,
    ) -> PresignedUpload:
        said = metadata or {}
        url = self._client.generate_presigned_url(
            "put_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ContentLength": size,
                "ContentType": content_type,
                "IfNoneMatch": "*",
                "Metadata": said,
            },
            ExpiresIn=expires_s,
        )
        headers = {
            "Content-Length": str(size),
            "Content-Type": content_type,
            "If-None-Match": "*",
            **_headers(said),
        }
        return PresignedUpload("PUT", url, headers, {})

    def presign_post(
        self,
        key: str,
        *,
        max_size: int,
        content_type: str,
        expires_s: int,
        metadata: Mapping[str, str] | None = None,
    ) -> PresignedUpload:
        fields = {"Content-Type": content_type, **_headers(metadata or {})}
        post = self._client.generate_presigned_post(
            self._bucket,
            key,
            Fields=dict(fields),
            Conditions=[
                *({name: value} for name, value in fields.items()),
                ["content-length-range", 1, max_size],
            ],
            ExpiresIn=expires_s,
        )
        return PresignedUpload("POST", post["url"], {}, post["fields"])

    def presign_part(
        self, key: str, *, upload_id: str, number: int, size: int, expires_s: int
    ) -> PresignedUpload:
        url = self._client.generate_presigned_url(
            "upload_part",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "UploadId": upload_id,
                "PartNumber": number,
                "ContentLength": size,
            },
            ExpiresIn=expires_s,
        )
        return PresignedUpload("PUT", url, {"Content-Length": str(size)}, {})

    def presign_get(self, key: str, *, name: str, expires_s: int) -> str:
        return self._client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                # Media is played, or saved; a browser must not open it as a page (RFC 6266, 5987).
                "ResponseContentDisposition": f"attachment; filename*=UTF-8''{quote(name, '')}",
            },
            ExpiresIn=expires_s,
        )


def _headers(metadata: Mapping[str, str]) -> dict[str, str]:
    return {f"x-amz-meta-{key}": value for key, value in metadata.items()}


def _missing(error: ClientError) -> bool:
    return error_code(error)[1] == 404 and not _no_bucket(error)


def _no_bucket(error: ClientError) -> bool:
    return error_code(error)[0] == "NoSuchBucket"

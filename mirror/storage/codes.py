"""What the error codes of S3 mean to a store (pure)."""

from keys.errors import ConflictError, MissingError, StoreError, UnreachableError

_CREDENTIALS = (
    "boto3 finds credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the file that "
    "AWS_SHARED_CREDENTIALS_FILE names (store.profile: which of them), or in the machine's role; "
    "they must be allowed to get, "
    "put, delete and list objects of this bucket"
)
CONDITIONS = (
    "use an object store with conditional writes; or, where only this machine writes, set "
    'store.lock = "folder"'
)
_HINTS = {
    "NoSuchBucket": "make the bucket, or check store.url and store.endpoint",
    "AccessDenied": _CREDENTIALS,
    "403": _CREDENTIALS,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "501": CONDITIONS,
    "NotImplemented": CONDITIONS,
    "RequestTimeTooSkewed": "set this machine's clock",
}
ABSENT = {"404", "NoSuchKey", "NotFound"}
TAKEN = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}
NO_UPLOAD = {"NoSuchUpload"}
BUSY = {
    "500", "502", "503", "504",
    "InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown",
}  # fmt: skip


def error(code: str, name: str, message: str) -> StoreError:
    """Return a store's error for one of S3's, about the object or bucket ``name``."""
    if code in ABSENT:
        return MissingError(f"{name}: not in the store")
    if code in TAKEN:
        return ConflictError(f"{name}: exists already")
    if code in BUSY:
        return UnreachableError(f"{name}: {code}: {message}")
    return StoreError(f"{name}: {code}: {message}", hint=_HINTS.get(code, ""))


def unreachable(name: str, kind: str) -> UnreachableError:
    """Return the error of a store that gave no answer, or a cut one."""
    return UnreachableError(
        f"{name}: the object store gave no whole answer: {kind}",
        hint="check store.endpoint, and whether the object store is up and can be reached",
    )


def anonymous(name: str) -> StoreError:
    """Return the error of a machine that has no credentials."""
    return StoreError(f"{name}: no credentials for the object store", hint=_CREDENTIALS)

"""Where metadata comes from: a promise, one that remembers, and one that has nothing."""

from typing import Protocol

from keys.errors import MissingError


class MetadataSource(Protocol):
    """Metadata files of one repository, by name. Their bytes are believed by nobody yet."""

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return a file such as ``3.root.json``; names are percent-encoded already.

        Raises:
            MissingError: it is not there (HTTP 404, or 403 as object stores answer).
            LimitError: it is larger than ``max_bytes``.
            FetchError: the other side did not deliver.

        """
        ...


class Once:
    """Ask a source for each name once; hand the same answer to whoever asks again.

    ``freshness.unchanged`` and ``Repository.refresh`` share one for the length of one run: the
    questions of the first are then not asked again by the second.
    """

    def __init__(self, source: MetadataSource) -> None:
        self._source = source
        self._answers: dict[str, bytes | MissingError] = {}

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """As ``MetadataSource.read``; an answer that failed otherwise is asked for again."""
        if name not in self._answers:
            try:
                self._answers[name] = self._source.read(name, max_bytes=max_bytes)
            except MissingError as exc:
                self._answers[name] = exc
        answer = self._answers[name]
        if isinstance(answer, MissingError):
            raise answer
        return answer


class Nowhere:
    """A source that has nothing: for work on the trusted copy alone."""

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Raise MissingError."""
        raise MissingError(f"{name}: not on disk, and no mirror was asked (max {max_bytes} bytes)")

"""The cheap question: is there something new? One way for each ``version``; writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from keys.errors import SettingsError
from mirror.feeds import UpstreamSettings
from mirror.upstream import answers
from mirror.upstream.auth import Auth
from mirror.upstream.client import NOT_MODIFIED, Answer, VendorClient
from mirror.upstream.http import versions
from mirror.upstream.http.fetching import Fetched, judge, judge_whole
from mirror.upstream.http.sources import Source, version_address
from mirror.upstream.http.verifying import SIDECAR_BYTES, SIDECAR_SUFFIXES, suffix_of
from mirror.upstream.http.versions import Signal
from mirror.upstream.txt import Resolver, ask_txt

_NO_HEAD = {405, 501}
_FIRST_BYTE = {"Range": "bytes=0-0"}


@dataclass(frozen=True, slots=True)
class Asking:
    """One feed's question; ``last`` is the version of the last pull."""

    settings: UpstreamSettings
    auth: Auth
    sources: tuple[Source, ...]
    last: str

    async def ask(self, client: VendorClient) -> Signal:
        """Ask what there is.

        Raises:
            FormatError: what should tell the version does not.
            CredentialError, FetchError, LimitError: as of the client.

        """
        match self.settings.version:
            case "etag" | "last-modified":
                return await self._headers(client)
            case "sidecar":
                return await self._sidecars(client)
            case "dns-txt":
                return await self._record()
            case _:
                return await self._document(client)

    async def _headers(self, client: VendorClient) -> Signal:
        if self.auth.form:
            return Signal(versions.UNKNOWN, "only the files tell", unchanged=False)
        found: dict[str, Mapping[str, str]] = {}
        for source in self.sources:
            answer = await self._head(client, source)
            if answer.status == NOT_MODIFIED and self._condition():
                return Signal(self.last, "304", unchanged=True)
            found[source.path] = answer.headers
        return self.told(found)

    async def version_of(self, fetched: Sequence[Fetched], client: VendorClient) -> str:
        """Tell the version of what was fetched: by what came with it, or else ask again."""
        if self.settings.version in {"etag", "last-modified"}:
            return self.told({one.source.path: one.headers for one in fetched}).version
        if self.settings.version == "sidecar":
            suffix = self._suffix()
            beside = (one.verified.sidecars[f"{one.source.path}{suffix}"] for one in fetched)
            return versions.joined("", (data.hex() for data in beside))
        return (await self.ask(client)).version

    def told(self, headers: Mapping[str, Mapping[str, str]]) -> Signal:
        """Return what the headers of every file, by path, come to."""
        version = versions.from_headers(self.settings.version, headers)
        lengths = [_length(one) for one in headers.values()]
        total = sum(one for one in lengths if one is not None)
        length = None if None in lengths else total
        if version == versions.UNKNOWN:
            return Signal(version, "neither ETag nor Last-Modified", length, unchanged=False)
        return Signal(version, "200", length)

    async def _head(self, client: VendorClient, source: Source) -> Answer:
        """Ask for the head alone; for one byte where that is not done, and only if it changed."""
        answer = await client.ask(source.address, method="HEAD", max_bytes=0)
        foreign = not answer.credentialed and bool(self.auth) and answer.status >= 400
        if answer.status not in _NO_HEAD and not foreign:
            judge(self.settings, answer)
            return answer
        return await client.ask(
            source.address,
            headers={**_FIRST_BYTE, **self._condition()},
            max_bytes=1,
            beginning=True,
            judge=partial(judge, self.settings),
        )

    def _condition(self) -> dict[str, str]:
        """Ask for a change only, where the last version is one file's own validator."""
        return versions.condition(self.last) if len(self.sources) == 1 else {}

    async def _sidecars(self, client: VendorClient) -> Signal:
        suffix = self._suffix()
        found = [await self._read(client, source.beside(suffix)) for source in self.sources]
        return Signal(versions.joined("", (data.hex() for data in found)), "200")

    def _suffix(self) -> str:
        """Tell the suffix of the first sidecar that is verified."""
        for scheme in self.settings.verify:
            if scheme in SIDECAR_SUFFIXES:
                return suffix_of(scheme, self.settings)
        raise SettingsError(f"upstream {self.settings.name}: version: verify lists no sidecar")

    async def _document(self, client: VendorClient) -> Signal:
        at, pointer = self.settings.version_at, self.settings.version_pointer
        address = version_address(self.settings, self.auth)
        data = await self._read(client, Source("version_at", address), versions.MAX_DOCUMENT_BYTES)
        if self.settings.version == "json-pointer":
            return Signal(versions.from_json(data, pointer, at), "200")
        return Signal(versions.from_text(data, at), "200")

    async def _record(self) -> Signal:
        name = self.settings.version_at
        record = await ask_txt(name, Resolver.parse(self.settings.resolver))
        found = versions.from_record(record, self.settings.version_pointer, f"dns: {name}")
        return Signal(found, "TXT")

    async def _read(
        self, client: VendorClient, source: Source, max_bytes: int = SIDECAR_BYTES
    ) -> bytes:
        answer = await client.ask(
            source.address, max_bytes=max_bytes, judge=partial(judge_whole, self.settings)
        )
        return answer.data


def _length(headers: Mapping[str, str]) -> int | None:
    """Return a file's length by the head of its whole or of a part."""
    total = headers.get("Content-Range", "").rpartition("/")[2]
    return int(total) if total.isdecimal() else answers.stated_length(headers)

"""Fetch a channel's files with plain python-tuf, which knows nothing of sigmirror.

Usage: plain_tuf.py ROOT.json REPOSITORY_URL CREDENTIAL_FILE FOLDER TARGET…
Prints ``sha256 target`` for each.
"""

import base64
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import urllib3
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface


class BasicFetcher(FetcherInterface):
    """HTTP with a user name and a password."""

    def __init__(self, credential: str) -> None:
        token = base64.b64encode(credential.encode()).decode()
        self._pool = urllib3.PoolManager(headers={"Authorization": f"Basic {token}"})

    def _fetch(self, url: str) -> Iterator[bytes]:
        response = self._pool.request("GET", url, preload_content=False)
        if response.status != 200:
            raise DownloadHTTPError(f"{url}: {response.status}", response.status)
        yield from response.stream(1 << 16)


def main(root: str, url: str, credential_file: str, folder: str, *targets: str) -> None:
    """Print the sha256 of each target as plain python-tuf verified it."""
    metadata, files = Path(folder, "metadata"), Path(folder, "targets")
    metadata.mkdir(parents=True)
    files.mkdir()
    updater = Updater(
        str(metadata),
        f"{url}/metadata/",
        target_dir=str(files),
        target_base_url=f"{url}/targets/",
        fetcher=BasicFetcher(Path(credential_file).read_text().strip()),
        bootstrap=Path(root).read_bytes(),
    )
    updater.refresh()
    for target in targets:
        info = updater.get_targetinfo(target)
        if info is None:
            sys.exit(f"{target}: not in the repository")
        path = updater.download_target(info)
        print(hashlib.sha256(Path(path).read_bytes()).hexdigest(), target)


if __name__ == "__main__":
    main(*sys.argv[1:])

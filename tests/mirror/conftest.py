"""Real object stores: the reference once for a whole run, rclone for each module; and desks."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mirror.fleet.desk import Desk
from tests.mirror import desks, object_stores, postgres
from tests.mirror.object_stores import ObjectStore


@pytest.fixture(scope="session")
def _credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", object_stores.KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", object_stores.SECRET)
        yield


@pytest.fixture(scope="module")
def rclone(_credentials: None) -> Iterator[ObjectStore]:
    with object_stores.rclone() as store:
        yield store


@pytest.fixture(scope="session")
def radosgw(_credentials: None, tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    folder, worker = tmp_path_factory.getbasetemp(), "PYTEST_XDIST_WORKER" in os.environ
    run = (folder.parent, os.getppid()) if worker else (folder, os.getpid())
    return object_stores.shared_radosgw(*run)


@pytest.fixture(scope="session")
def fleet_server() -> Iterator[str]:
    with postgres.running() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    """Open an empty desk, over a file and over a server."""
    url = f"sqlite:///{tmp_path}/fleet.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("fleet_server")
    async with desks.opened(url) as desk:
        yield desk

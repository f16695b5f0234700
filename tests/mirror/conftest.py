"""Real object stores: the reference once for a whole run, rclone for each module."""

import os
from collections.abc import Iterator

import pytest

from tests.mirror import object_stores
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

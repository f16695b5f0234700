"""The object store that every test of a run shares."""

import os

import pytest

from tests.mirror import object_stores
from tests.mirror.object_stores import ObjectStore


@pytest.fixture(scope="session")
def radosgw(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    folder, worker = tmp_path_factory.getbasetemp(), "PYTEST_XDIST_WORKER" in os.environ
    run = (folder.parent, os.getppid()) if worker else (folder, os.getpid())
    return object_stores.shared_radosgw(*run)

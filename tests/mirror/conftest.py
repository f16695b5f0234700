"""Real object stores: the reference once for all tests that ask for it, rclone for each."""

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


@pytest.fixture
def rclone(_credentials: None) -> Iterator[ObjectStore]:
    """Run one for a single test: left alone, it takes a whole core."""
    with object_stores.rclone() as store:
        yield store


@pytest.fixture(scope="session")
def radosgw(_credentials: None) -> Iterator[ObjectStore]:
    with object_stores.radosgw() as store:
        yield store

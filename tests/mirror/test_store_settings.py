import sys
from collections.abc import Mapping

import msgspec
import pytest

from keys.errors import SettingsError
from mirror.settings import Settings, StoreSettings, problems
from mirror.storage import open_store

BUCKET = {"url": "s3://definitions/mirror", "folder": "/var/lib/sigmirror"}


def stored(written: Mapping[str, object]) -> StoreSettings:
    return msgspec.convert(written, StoreSettings)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ({"url": "s3://definitions"}, "store.folder"),
        ({**BUCKET, "folder": "relative"}, "store.folder"),
        ({**BUCKET, "url": "s3://UPPER/x"}, "store.url"),
        ({**BUCKET, "url": "s3://"}, "store.url"),
        ({**BUCKET, "url": "s3://definitions/../x"}, "store.url"),
        ({**BUCKET, "endpoint": "s3.example"}, "store.endpoint"),
        ({**BUCKET, "endpoint": "https://key:secret@s3.example"}, "store.endpoint"),
        ({"folder": "/var/lib/sigmirror"}, "store.folder"),
        ({"endpoint": "https://s3.example"}, "store.endpoint"),
        ({"region": "eu-west-1"}, "store.region"),
        ({"lock": "folder"}, "store.lock"),
        ({"cache": "/var/cache/sigmirror"}, "store.cache"),
        ({"blobs": "redirect"}, "store.blobs"),
        ({"poll_seconds": 2.0}, "store.poll_seconds"),
        ({**BUCKET, "cache": "relative"}, "store.cache"),
    ],
    ids=str,
)
def test_a_store_that_cannot_be_is_a_problem_by_its_key(
    written: dict[str, object], key: str
) -> None:
    found = [str(problem) for problem in problems(Settings(store=stored(written)))]
    assert len(found) == 1
    assert found[0].startswith(key)
    assert "secret" not in found[0]


def test_a_bucket_with_a_state_folder_is_no_problem() -> None:
    settings = Settings(store=stored({**BUCKET, "endpoint": "http://127.0.0.1:9000"}))
    assert list(problems(settings)) == []
    assert str(settings.folder) == "/var/lib/sigmirror"


def test_boto3_that_is_not_installed_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mirror.storage.bucket", None)
    with pytest.raises(SettingsError, match="not installed") as caught:
        open_store(stored(BUCKET))
    assert "sigmirror[server,s3]" in caught.value.hint

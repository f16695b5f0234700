"""What root's commands leave behind, seen by the user the mirror runs as."""

import os
import shutil
from pathlib import Path

import pytest

from mirror.fleet.ledger import hosts_file
from tests.mirror.operator import Operator

SERVICE = 65534


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave files that are not the user's")
def test_what_root_writes_belongs_to_the_owner_of_the_mirrors_folder(operator: Operator) -> None:
    folder = operator.mirror.folder
    shutil.rmtree(folder / "state", ignore_errors=True)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, SERVICE, SERVICE)
    (operator.drop / "a.yar").write_bytes(b"rule a")
    assert operator.types("pull")[0] == 0
    assert operator.types("publish", "other", str(operator.drop))[0] == 0
    assert operator.types("host", "add", "mx1")[0] == 0
    assert hosts_file(folder).path.stat().st_mode & 0o777 == 0o600
    made = [path for path in folder.rglob("*") if path.stat().st_uid != SERVICE]
    assert [path.relative_to(folder).as_posix() for path in made] == []

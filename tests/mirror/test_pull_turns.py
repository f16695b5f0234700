import threading
from pathlib import Path

import pytest

from keys import files
from tests.mirror.operator import Operator

Turns = tuple[Operator, Path]


@pytest.fixture
def turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Turns:
    operator = Operator(tmp_path, capsys)
    (operator.drop / "a.yar").write_bytes(b"rule a")
    lock = operator.mirror.folder / "state/upstreams/inhouse.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    return operator, lock


def test_a_pull_waits_for_the_one_that_is_under_way(turns: Turns) -> None:
    operator, path = turns
    with files.lock(path, what="another pull"):
        code, _, err = operator.types("pull", "inhouse", "--wait", "0")
        assert (code, "another process is at work" in err) == (1, True)
    held, free = threading.Event(), threading.Event()

    def other() -> None:
        with files.lock(path, what="another pull"):
            held.set()
            free.wait(0.5)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait()
    code, out, err = operator.types("pull", "inhouse")
    thread.join()
    assert (code, out.startswith("inhouse: published")) == (0, True), err

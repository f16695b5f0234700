"""A task says whom it is for and when it is due; only what its site signed is one."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import ExpiredError, FormatError, LimitError, SignatureError, UsageError
from keys.model.task import (
    MAX_TASK_BYTES,
    SignedTask,
    Task,
    check_cron,
    decode_answer,
    decode_handed,
    decode_task,
    written,
)
from keys.trust.task import TaskTrust
from tests.tasking import DAY, HOUR, NOW, Scene, elsewhere, task


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene.made(tmp_path_factory.mktemp("scene"))


def verified(scene: Scene, signed: SignedTask, now: datetime = NOW) -> Task:
    return TaskTrust(scene.repository(), now=now).verified(signed, "a task")


@pytest.mark.parametrize(
    ("pattern", "host", "covered"),
    [
        ("mx1", "mx1", True),
        ("mx1", "mx10", False),
        ("mx?", "mx1", True),
        ("mx?", "mx10", False),
        ("*", "anything", True),
        ("web", "web~pod-1", True),
        ("web~*", "web~pod-1", True),
        ("web~*", "web", False),
        ("pod*", "web~pod-1", False),
        ("MX1", "mx1", False),
    ],
)
def test_a_task_is_for_the_hosts_its_patterns_cover(pattern: str, host: str, covered: bool) -> None:
    assert task(hosts=("other", pattern)).is_for(host) is covered


def test_a_task_is_due_once_from_its_time_on_until_it_expires() -> None:
    one = task(at=NOW, window_seconds=3600, ends=NOW + HOUR)
    assert one.due(NOW - HOUR) is None
    assert one.due(NOW) == one.due(NOW + 5 * DAY) == NOW
    assert one.is_open(NOW, NOW + HOUR - timedelta(seconds=1))
    assert not one.is_open(NOW, NOW + HOUR)


def test_a_task_that_comes_again_is_due_at_the_newest_of_its_times() -> None:
    one = task(cron="0 3 * * *", tz="Asia/Tokyo", ends=NOW + 30 * DAY, window_seconds=3600)
    at_three = datetime(2026, 3, 1, 18, tzinfo=UTC)  # 3 o'clock in Tokyo
    assert one.due(NOW) is None
    assert one.due(at_three) == at_three
    assert one.due(at_three + 10 * DAY - HOUR) == at_three + 9 * DAY
    assert one.due(NOW + 300 * DAY) == at_three + 29 * DAY


@given(
    minute=st.sampled_from(["0", "*/7", "5,35", "*"]),
    hour=st.sampled_from(["*", "0", "2", "1-3", "23"]),
    tz=st.sampled_from(["UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York"]),
    after=st.integers(0, 400 * 86400),
)
def test_a_time_that_a_task_is_due_at_is_its_own_newest(
    minute: str, hour: str, tz: str, after: int
) -> None:
    one = task(cron=f"{minute} {hour} * * *", tz=tz, at=NOW - 2 * DAY, ends=NOW + 500 * DAY)
    now = NOW + timedelta(seconds=after)
    due = one.due(now)
    assert due is not None
    assert now - 2 * DAY < due <= now
    assert one.due(due) == due


@pytest.mark.parametrize(
    ("cron", "tz", "named"),
    [
        ("0 3 * *", "UTC", "five fields"),
        ("0 3 * * * *", "UTC", "five fields"),
        ("61 3 * * *", "UTC", "not a cron expression"),
        ("0 0 30 2 *", "UTC", "not a cron expression"),
        ("0 3 * * *", "../../etc/passwd", "time zone"),
        ("0 3 * * *", "Asia/Nowhere", "time zone"),
    ],
)
def test_what_is_no_time_is_refused_by_name(cron: str, tz: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        check_cron(cron, tz, NOW)


def test_a_task_is_read_as_it_was_written_and_a_newer_field_is_passed_over() -> None:
    one = task(cron="0 3 * * *", engine="clamd")
    assert decode_task(written(one), "a task") == one
    newer = {**msgspec.json.decode(written(one)), "unheard_of": [1]}
    assert decode_task(msgspec.json.encode(newer).decode(), "a task") == one


def test_a_task_of_a_later_schema_is_refused_by_name() -> None:
    later = {**msgspec.json.decode(written(task())), "schema": 2}
    with pytest.raises(FormatError, match="schema 2 is unknown"):
        decode_task(msgspec.json.encode(later).decode(), "a task")


def test_a_task_too_large_to_be_handed_out_is_never_signed(scene: Scene) -> None:
    named = tuple(f"host-{number:05}" for number in range(MAX_TASK_BYTES // 10))
    with pytest.raises(LimitError, match="MAX_TASK_BYTES"):
        scene.sign(task(hosts=named))


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_are_refused(data: bytes) -> None:
    for decode in (decode_answer, decode_handed):
        with contextlib.suppress(FormatError):
            decode(data)


def test_what_the_site_signed_is_verified_by_the_hosts_own_copy(scene: Scene) -> None:
    assert verified(scene, scene.sign(task())) == task()


@pytest.mark.parametrize("key", ["snapshot", "timestamp", "channel", "channels"])
def test_no_other_key_of_the_site_can_sign_a_task(scene: Scene, key: str) -> None:
    with pytest.raises(SignatureError, match="policy was signed by 0/1 keys"):
        verified(scene, scene.signed_by(key, task()))


def test_a_forged_task_is_refused(scene: Scene, tmp_path: Path) -> None:
    signed = scene.sign(task())
    other = elsewhere(scene, tmp_path / "other").sign(task())
    changed = signed.payload.replace('"prove"', '"update"')
    ((keyid, signature),) = signed.signatures.items()
    for forged in (
        other,
        SignedTask(payload=changed, signatures=signed.signatures),
        SignedTask(payload=signed.payload, signatures={}),
        SignedTask(payload=signed.payload, signatures={keyid: "no hex"}),
        SignedTask(payload=signed.payload, signatures={keyid: "00" * 64}),
        SignedTask(payload=signed.payload, signatures={"0" * 64: signature}),
    ):
        with pytest.raises(SignatureError):
            verified(scene, forged)


def test_signed_metadata_is_no_task(scene: Scene) -> None:
    metadata = scene.site.layout.read()["policy"]
    plain = msgspec.json.decode(metadata)
    signatures = {one["keyid"]: one["sig"] for one in plain["signatures"]}
    signed = SignedTask(payload=metadata.decode(), signatures=signatures)
    with pytest.raises(SignatureError):
        verified(scene, signed)


def test_no_task_is_believed_by_metadata_that_has_expired(scene: Scene) -> None:
    with pytest.raises(ExpiredError, match="expired"):
        verified(scene, scene.sign(task()), now=NOW + 4 * DAY)

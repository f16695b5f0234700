"""The licence files held under one name: joining, renewals held beside, replays."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from keys.errors import LicenceError, StateError
from keys.licences import LicenceStore
from keys.model.standing import state_on
from tests.keys.issuing import LICENCE, RENEWAL, Issuer, but


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer.make(tmp_path_factory.mktemp("issuer"))


@pytest.fixture
def store(tmp_path: Path) -> LicenceStore:
    return LicenceStore(tmp_path / "state" / "av-2026")


def test_a_file_that_joined_is_held_byte_for_byte(store: LicenceStore, issuer: Issuer) -> None:
    assert store.records(issuer.pinned) == ()
    store.admit(issuer.issue(), issuer.pinned, "a.lic")
    assert LicenceStore(store.folder).records(issuer.pinned) == (LICENCE,)
    (kept,) = store.folder.iterdir()
    assert kept.read_bytes() == issuer.issue()


def test_the_same_file_may_come_again(store: LicenceStore, issuer: Issuer) -> None:
    for data in (issuer.issue(), issuer.issue().replace(b"\n", b"\r\n")):
        assert store.admit(data, issuer.pinned, "a.lic") == (LICENCE,)
    assert len(list(store.folder.iterdir())) == 1


def test_a_renewal_that_comes_early_is_held_beside(store: LicenceStore, issuer: Issuer) -> None:
    store.admit(issuer.issue(), issuer.pinned, "a.lic")
    store.admit(issuer.issue(RENEWAL), issuer.pinned, "b.lic")
    held = store.records(issuer.pinned)
    for day in (date(2026, 3, 2), date(2026, 3, 31), date(2026, 4, 1)):
        assert state_on(held, day).may_pull


def test_a_replay_of_an_older_file_is_refused(store: LicenceStore, issuer: Issuer) -> None:
    store.admit(issuer.issue(), issuer.pinned, "a.lic")
    store.admit(issuer.issue(RENEWAL), issuer.pinned, "b.lic")
    with pytest.raises(LicenceError, match="sequence 1 is not newer than 2, which is held"):
        store.admit(issuer.issue(), issuer.pinned, "a.lic")
    assert len(store.records(issuer.pinned)) == 2


def test_two_files_of_one_sequence_are_refused(store: LicenceStore, issuer: Issuer) -> None:
    store.admit(issuer.issue(), issuer.pinned, "a.lic")
    with pytest.raises(LicenceError, match="sequence 1 is not newer than 1"):
        store.admit(issuer.issue(but(seats=9999)), issuer.pinned, "b.lic")


def test_another_organisations_licence_is_refused(store: LicenceStore, issuer: Issuer) -> None:
    store.admit(issuer.issue(), issuer.pinned, "a.lic")
    other = but(serial="EMSL-0002", organisation="Example Ltd")
    with pytest.raises(LicenceError, match=r"is of 'Example Ltd', not '株式会社サンプル'"):
        store.admit(issuer.issue(other), issuer.pinned, "b.lic")


@pytest.mark.parametrize(
    ("issued_at", "accepted"),
    [
        (datetime(2026, 6, 28, 14, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 6, 28, 15, tzinfo=UTC), False),
    ],
    ids=["end+89 in Japan", "end+90 in Japan"],
)
def test_a_renewal_counts_by_the_day_it_was_issued(
    store: LicenceStore, issuer: Issuer, issued_at: datetime, *, accepted: bool
) -> None:
    store.admit(issuer.issue(), issuer.pinned, "a.lic")
    data = issuer.issue(but(RENEWAL, issued_at=issued_at))
    if accepted:
        assert len(store.admit(data, issuer.pinned, "b.lic")) == 2
        return
    with pytest.raises(LicenceError, match="issued after 2026-06-28") as caught:
        store.admit(data, issuer.pinned, "b.lic")
    assert "a serial of its own" in caught.value.hint


def test_a_new_serial_may_follow_a_lapsed_one(store: LicenceStore, issuer: Issuer) -> None:
    store.admit(issuer.issue(), issuer.pinned, "a.lic")
    bought = but(
        RENEWAL, serial="EMSL-0002", sequence=1, issued_at=datetime(2026, 9, 1, tzinfo=UTC)
    )
    held = store.admit(issuer.issue(bought), issuer.pinned, "b.lic")
    assert state_on(held, date(2026, 9, 1)).ends_on == bought.ends_on


def test_a_held_file_that_was_edited_on_disk_is_refused(
    store: LicenceStore, issuer: Issuer
) -> None:
    store.admit(issuer.issue(), issuer.pinned, "a.lic")
    (kept,) = store.folder.iterdir()
    kept.write_bytes(kept.read_bytes()[:-5])
    with pytest.raises(LicenceError, match="truncated"):
        store.records(issuer.pinned)


def test_a_vendors_own_file_is_kept_unread(store: LicenceStore, issuer: Issuer) -> None:
    store.admit_opaque(b"\x00 nothing we know")
    (kept,) = store.folder.iterdir()
    assert kept.read_bytes() == b"\x00 nothing we know"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert store.records(issuer.pinned) == ()


def test_a_store_that_cannot_be_read_is_named(store: LicenceStore, issuer: Issuer) -> None:
    store.folder.parent.mkdir()
    store.folder.write_bytes(b"")
    with pytest.raises(StateError, match="Not a directory"):
        store.records(issuer.pinned)

"""The licences a mirror pulls by: signed files, kept files, a vendor's own files."""

import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keys import console
from keys.errors import LicenceError
from keys.model.standing import State
from mirror.cli import sigmirror
from mirror.licences import Licences
from mirror.settings import LicenceSettings
from tests.keys.issuing import LICENCE, ORGANISATION, RENEWAL, Issuer, but
from tests.keys.signing_site import PASSPHRASE
from tests.mirror.site import Mirror


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer.make(tmp_path_factory.mktemp("issuer"))


class Held:
    """One licence of a mirror, with its file."""

    def __init__(self, folder: Path, issuer: Issuer) -> None:
        self.file = folder / "av.lic"
        self.password = folder / "password"
        self.password.write_text("secret of the site")
        self.issuer = issuer
        self.licences = Licences(folder / "state" / "licences")
        self.settings = LicenceSettings(
            name="av-2026",
            file=str(self.file),
            issuer=str(issuer.public),
            username="EAV-0123456",
            password_file=str(self.password),
        )

    def state(self, day: str) -> State:
        return self.licences.standing(self.settings, noon(day)).state


def noon(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T03:00:00+00:00")


@pytest.fixture
def held(tmp_path: Path, issuer: Issuer) -> Held:
    return Held(tmp_path, issuer)


def test_a_signed_file_tells_where_the_licence_stands(held: Held) -> None:
    held.issuer.write(held.file)
    found = held.licences.standing(held.settings, noon("2026-03-31"))
    assert (found.state, found.days_left, found.may_pull) == (State.expiring, 0, True)
    assert found.licence.organisation == ORGANISATION
    assert held.state("2026-04-01") is State.renewal_window


def test_looking_writes_nothing(held: Held) -> None:
    held.issuer.write(held.file)
    held.state("2026-01-01")
    assert not held.licences.folder.exists()


def test_an_early_renewal_is_held_beside_the_file_it_replaced(held: Held) -> None:
    held.licences.replace(held.settings, held.issuer.write(held.file.with_name("1.lic")))
    held.licences.replace(held.settings, held.issuer.write(held.file.with_name("2.lic"), RENEWAL))
    assert held.file.read_bytes() == held.issuer.issue(RENEWAL)
    for day in ("2026-03-02", "2026-03-31", "2026-04-01", "2027-01-01"):
        assert held.state(day) is State.active, day
    assert held.password.read_text() == "secret of the site"


def test_a_replay_of_the_older_file_is_refused(held: Held) -> None:
    for licence in (LICENCE, RENEWAL):
        held.issuer.write(held.file, licence)
        held.licences.remember(held.settings)
    held.issuer.write(held.file, LICENCE)
    for look in (held.licences.records, held.licences.remember):
        with pytest.raises(LicenceError, match="sequence 1 is not newer than 2"):
            look(held.settings)


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[:-9], lambda data: data.replace(b"\ney", b"\neY"), lambda _: b""],
    ids=["truncated", "edited", "empty"],
)
def test_a_broken_replacement_changes_nothing(held: Held, spoil: Callable[[bytes], bytes]) -> None:
    held.issuer.write(held.file)
    held.licences.remember(held.settings)
    broken = held.file.with_name("broken.lic")
    broken.write_bytes(spoil(held.issuer.issue(RENEWAL)))
    with pytest.raises(LicenceError, match=r"broken\.lic: "):
        held.licences.replace(held.settings, broken)
    assert held.file.read_bytes() == held.issuer.issue()
    assert held.licences.records(held.settings) == (LICENCE,)


def test_a_missing_file_or_issuer_is_named(held: Held) -> None:
    with pytest.raises(LicenceError, match=r"av\.lic: No such file"):
        held.state("2026-01-01")
    held.issuer.write(held.file)
    held.settings = LicenceSettings(name="av", file=str(held.file), issuer="/nowhere/issuer.pub")
    with pytest.raises(LicenceError, match=r"licence av: issuer: /nowhere/issuer\.pub: No such"):
        held.state("2026-01-01")


def test_setting_the_clock_back_behind_the_issue_revives_nothing(held: Held) -> None:
    late = but(issued_at=datetime(2026, 5, 1, tzinfo=UTC))
    held.issuer.write(held.file, late)
    assert held.state("2026-03-01") is State.renewal_window


def test_a_vendors_own_file_is_replaced_and_the_old_one_kept(held: Held) -> None:
    held.settings = LicenceSettings(
        name="esets", file=str(held.file), starts_on="2026-01-01", ends_on="2026-12-31",
        tz="Asia/Tokyo", seats=250,
    )  # fmt: skip
    held.file.write_bytes(b"the vendor's old bytes")
    new = held.file.with_name("new.lic")
    new.write_bytes(b"the vendor's new bytes")
    held.licences.replace(held.settings, new)
    assert held.file.read_bytes() == b"the vendor's new bytes"
    kept = [path.read_bytes() for path in (held.licences.folder / "esets").iterdir()]
    assert kept == [b"the vendor's old bytes"]
    assert held.state("2026-12-31") is State.expiring
    assert held.state("2027-01-01") is State.renewal_window


class Operator:
    """Someone who pulls a folder that needs a licence."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], issuer: Issuer) -> None:
        self.issuer = issuer
        self.licence = folder / "av.lic"
        self._capsys = capsys
        self.drop = folder / "drop"
        self.drop.mkdir()
        self.config = folder / "sigmirror.toml"
        (folder / "passphrase").write_text(PASSPHRASE.reveal())
        mirror = Mirror.found(folder / "mirror", now=datetime.now(UTC))
        self.config.write_text(
            f'[store]\nurl = "file://{mirror.folder}"\n'
            f'[signing]\npassphrase_file = "{folder / "passphrase"}"\n'
            '[[upstream]]\nname = "paid"\nkind = "drop"\nchannel = "paid"\nlicence = "av"\n'
            f'folder = "{self.drop}"\nquiet_seconds = 0.01\n'
            f'[[licence]]\nname = "av"\nfile = "{self.licence}"\nissuer = "{issuer.public}"\n'
        )

    def types(self, *words: str) -> tuple[int, str, str]:
        arguments = [*words, "--config", str(self.config)]
        code = console.exit_code(sigmirror, program="sigmirror", arguments=arguments)
        output = self._capsys.readouterr()
        return code, output.out, output.err

    def status(self) -> Any:
        return json.loads(self.types("status", "--json")[1])

    def holds(self, *, ended_days_ago: int, sequence: int) -> None:
        end = date.today() - timedelta(days=ended_days_ago)  # noqa: DTZ011 - a day off is no matter
        start = end - timedelta(days=364)
        issued = datetime(start.year, start.month, start.day, tzinfo=UTC)
        licence = but(starts_on=start, ends_on=end, sequence=sequence, issued_at=issued)
        self.issuer.write(self.licence, licence)

    def drops(self, data: bytes) -> None:
        (self.drop / "a.yar").write_bytes(data)
        past = datetime.now(UTC).timestamp() - 60
        os.utime(self.drop / "a.yar", (past, past))


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str], issuer: Issuer) -> Operator:
    return Operator(tmp_path, capsys, issuer)


def test_pulls_follow_the_file_on_disk(operator: Operator) -> None:
    operator.drops(b"rule a")
    operator.holds(ended_days_ago=5, sequence=1)
    code, _, err = operator.types("pull", "paid")
    assert code == 4
    assert "licence av: renewal_window" in err
    operator.holds(ended_days_ago=-200, sequence=2)
    assert operator.types("pull")[0] == 0
    (channel,) = operator.status()["repositories"][0]["channels"]
    assert channel["tracks"] == {"stable": 1}


def test_a_forged_licence_stops_pulls_and_is_named(operator: Operator) -> None:
    operator.drops(b"rule a")
    operator.holds(ended_days_ago=-200, sequence=1)
    operator.licence.write_bytes(operator.licence.read_bytes().replace(b"ey", b"eY", 1))
    code, _, err = operator.types("pull", "paid")
    assert code == 4
    assert f"error: {operator.licence}: edited" in err
    (shown,) = operator.status()["licences"]
    assert shown["state"].startswith(f"unusable: {operator.licence}: edited")
    assert f"licence av: {shown['state']}\n" in operator.types("status")[1]


def test_a_pull_remembers_the_file_so_that_an_older_one_is_refused(operator: Operator) -> None:
    operator.drops(b"rule a")
    operator.holds(ended_days_ago=-100, sequence=2)
    assert operator.types("pull", "paid")[0] == 0
    operator.holds(ended_days_ago=-300, sequence=1)
    code, _, err = operator.types("pull", "paid")
    assert code == 4
    assert "sequence 1 is not newer than 2, which is held" in err


def test_status_shows_the_organisation_and_who_vouches_for_the_dates(operator: Operator) -> None:
    operator.holds(ended_days_ago=-10, sequence=1)
    (shown,) = operator.status()["licences"]
    assert (shown["organisation"], shown["tz"]) == (ORGANISATION, "Asia/Tokyo")
    assert (shown["state"], shown["dates"]) == ("expiring", "signed by the issuer")
    assert ORGANISATION in operator.types("status")[1]
    text = operator.config.read_text().replace(
        f'issuer = "{operator.issuer.public}"\n',
        'starts_on = "2026-01-01"\nends_on = "2030-12-31"\ntz = "Asia/Tokyo"\n',
    )
    operator.config.write_text(text)
    (shown,) = operator.status()["licences"]
    assert (shown["state"], shown["dates"]) == ("active", "typed by operator")


def test_the_list_flags_a_key_file_that_is_missing(operator: Operator) -> None:
    operator.holds(ended_days_ago=-200, sequence=1)
    (shown,) = json.loads(operator.types("licence", "list", "--json")[1])
    assert "key_file_missing(management)" in shown["flags"]
    assert "flags=key_file_missing(management)" in operator.types("licence", "list")[1]


def test_typed_dates_that_begin_later_are_pending_until_then(tmp_path: Path) -> None:
    typed = LicenceSettings(
        name="esets", file="esets.lic", starts_on="2027-01-01", ends_on="2027-12-31", tz="UTC"
    )
    licences = Licences(tmp_path)
    before = licences.standing(typed, datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert (before.state, before.may_pull) == (State.pending, False)
    assert licences.standing(typed, datetime(2027, 1, 1, tzinfo=UTC)).may_pull

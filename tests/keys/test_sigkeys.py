"""The command `sigkeys`, typed as an operator would."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from keys import console
from keys.cli import sigkeys
from keys.signing.layout import Layout
from keys.signing.renewal import encode_metadata
from keys.signing.state import State
from keys.trust.tuf_api import Metadata
from tests.keys.signing_site import PASSPHRASE, Site

JAPANESE = "株式会社<サンプル> & 子会社"


class Shell:
    """A shell in a folder of its own, with a passphrase file."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.mirror = folder / "mirror"
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text(PASSPHRASE.reveal() + "\n")
        self._capsys = capsys

    def types(self, *words: str | Path) -> tuple[int, str, str]:
        code = console.exit_code(
            sigkeys, program="sigkeys", arguments=[str(word) for word in words]
        )
        output = self._capsys.readouterr()
        assert PASSPHRASE.reveal() not in output.out + output.err
        return code, output.out, output.err

    def does(self, *words: str | Path) -> str:
        code, out, err = self.types(*words)
        assert code == 0, err
        return out

    def signs(self, *words: str | Path) -> str:
        return self.does(*words, "--passphrase-file", self.passphrase)

    def asks(self, *words: str | Path) -> Any:
        return json.loads(self.does(*words, "--json"))

    def issuer(self) -> Path:
        self.signs("licence", "issuer", self.folder / "issuer")
        return self.folder / "issuer.pub"

    def issue(self, name: str, *words: str | Path) -> Path:
        out = self.folder / name
        key = self.folder / "issuer"
        self.signs("licence", "issue", "--key", key, "--out", out, *words)
        return out


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    for variable in ("SIGMIRROR_PASSPHRASE", "SIGMIRROR_OFFLINE_PASSPHRASE"):
        monkeypatch.delenv(variable, raising=False)
    return Shell(tmp_path, capsys)


def test_init_founds_a_repository_that_status_shows(shell: Shell) -> None:
    said = shell.signs("init", shell.mirror, "--threshold", "2", "--keys", "3")
    found = shell.asks("status", shell.mirror)
    assert f"sigupdate init --mirror URL --root-sha256 {found['root_sha256']}" in said
    roles = {role["role"]: role for role in found["roles"]}
    assert set(roles) == {"root", "targets", "channels", "policy", "snapshot", "timestamp"}
    assert (roles["root"]["threshold"], len(roles["root"]["keys"])) == (2, 3)
    assert [roles[name]["days_left"] for name in ("root", "timestamp")] == [365.0, 3.0]
    keys = Layout(shell.mirror)
    assert {path.name for path in keys.offline.glob("*.pem")} == {
        "root-1.pem", "root-2.pem", "root-3.pem", "targets-1.pem",
    }  # fmt: skip
    for key in (*keys.offline.glob("*.pem"), *keys.online.glob("*.pem")):
        assert b"ENCRYPTED PRIVATE KEY" in key.read_bytes()
        assert key.stat().st_mode & 0o777 == 0o600


def test_offline_keys_go_where_they_are_wanted(shell: Shell) -> None:
    stick = shell.folder / "stick"
    shell.signs("init", shell.mirror, "--offline", stick, "--separate-online-keys")
    assert (stick / "root-1.pem").is_file()
    assert not Layout(shell.mirror).offline.exists()
    online = {path.stem for path in Layout(shell.mirror).online.glob("*.pem")}
    assert online == {"channels", "policy", "channel", "snapshot", "timestamp", "minisign"}


def test_a_passphrase_may_come_from_the_environment(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = shell.types("init", shell.mirror)
    assert code == 2
    assert "no passphrase for the key files" in err
    monkeypatch.setenv("SIGMIRROR_PASSPHRASE", PASSPHRASE.reveal())
    shell.does("init", shell.mirror)


def test_offline_keys_may_have_a_passphrase_of_their_own(shell: Shell) -> None:
    other = shell.folder / "other"
    other.write_text("another long passphrase\n")
    shell.signs("init", shell.mirror, "--offline-passphrase-file", other)
    code, _, err = shell.types("renew", shell.mirror, "--passphrase-file", shell.passphrase)
    assert code == 2
    assert "root-1.pem: wrong passphrase" in err
    shell.does("renew", shell.mirror, "--passphrase-file", other)


def test_nothing_that_exists_is_overwritten(shell: Shell) -> None:
    shell.signs("init", shell.mirror)
    before = {path: path.read_bytes() for path in shell.mirror.rglob("*") if path.is_file()}
    code, _, err = shell.types("init", shell.mirror, "--passphrase-file", shell.passphrase)
    assert code == 2
    assert "exists already; nothing was changed" in err
    assert before == {path: path.read_bytes() for path in shell.mirror.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--threshold", "3", "--keys", "2"), "a threshold of 3 with 2 keys"),
        (("--threshold", "0"), "a threshold of 0"),
        (("--keys", "17"), "keys <= 16"),
        (("--expiry", "root=0"), "1 to 3650 days"),
        (("--expiry", "root"), "write a role"),
    ],
)
def test_a_ceremony_that_cannot_be_held_changes_nothing(
    shell: Shell, words: tuple[str, ...], reason: str
) -> None:
    code, _, err = shell.types("init", shell.mirror, "--passphrase-file", shell.passphrase, *words)
    assert code == 2
    assert reason in err
    assert not shell.mirror.exists()


def test_a_short_passphrase_is_refused(shell: Shell) -> None:
    shell.passphrase.write_text("tooshort")
    code, _, err = shell.types("init", shell.mirror, "--passphrase-file", shell.passphrase)
    assert code == 2
    assert "fewer than 12 characters" in err


@pytest.mark.parametrize(("days", "code"), [("2", 0), ("4", 1), ("400", 1)])
def test_status_exits_1_when_a_role_expires_soon(shell: Shell, days: str, code: int) -> None:
    shell.signs("init", shell.mirror)
    found, out, _ = shell.types("status", shell.mirror, "--expiring", days)
    assert found == code
    assert ("expiring: timestamp" in out) is (code == 1)


def test_status_names_an_expired_role(shell: Shell) -> None:
    old = Site.found(shell.mirror)
    code, out, _ = shell.types("status", old.layout.folder, "--expiring", "0")
    assert code == 1
    assert "timestamp: version 1, 1 of 1 keys, expires 2026-03-04 12:00:00Z, EXPIRED" in out


def test_status_of_no_repository_is_an_error(shell: Shell) -> None:
    code, _, err = shell.types("status", shell.folder)
    assert code == 1
    assert "run `sigkeys init` first" in err


def test_status_refuses_metadata_that_was_edited(shell: Shell) -> None:
    shell.signs("init", shell.mirror)
    path = Layout(shell.mirror).metadata / "1.targets.json"
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":7'))
    code, _, err = shell.types("status", shell.mirror)
    assert code in {1, 3}
    assert err.startswith("error: targets")


def test_renew_gives_root_and_targets_a_later_expiry(shell: Shell) -> None:
    shell.signs("init", shell.mirror, "--expiry", "root=10", "--expiry", "targets=10")
    assert shell.types("status", shell.mirror, "--expiring", "11")[0] == 1
    shell.signs("renew", shell.mirror, "--days", "200")
    roles = {role["role"]: role for role in shell.asks("status", shell.mirror)["roles"]}
    for name in ("root", "targets"):
        assert (roles[name]["version"], round(roles[name]["days_left"])) == (2, 200)
    assert State.verified(Layout(shell.mirror).read()).is_behind()


class Holders:
    """Three holders of one root key each; two must sign."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        shell.signs("init", shell.mirror)
        self.layout = Layout(shell.mirror)
        self.draft = self.layout.drafts / "2.root.json"
        ring = json.loads((self.layout.offline / "signers.json").read_text())
        for number in (1, 2, 3):
            folder = self.stick(number)
            folder.mkdir()
            name = f"root-{number}"
            own = [entry for entry in ring if entry["name"] == name]
            (folder / "signers.json").write_text(json.dumps(own))
            (folder / f"{name}.pem").write_bytes((self.layout.offline / f"{name}.pem").read_bytes())

    def stick(self, number: int) -> Path:
        return self.shell.folder / f"stick-{number}"

    def sign(self, number: int) -> str:
        return self.shell.signs("renew", self.shell.mirror, "--offline", self.stick(number))


def test_holders_of_root_keys_sign_one_after_the_other(shell: Shell) -> None:
    holders = Holders(shell)
    assert "root: version 2 lacks 1 more signatures" in holders.sign(1)
    assert "root: version 2 lacks 1 more signatures" in holders.sign(1)
    assert not (holders.layout.metadata / "2.root.json").exists()
    assert "root: version 2 is valid until" in holders.sign(3)
    assert not holders.draft.exists()
    assert State.verified(holders.layout.read()).version("root") == 2


def test_a_draft_that_says_more_than_a_later_expiry_is_not_signed(shell: Shell) -> None:
    holders = Holders(shell)
    holders.sign(1)
    forged: Metadata[Any] = Metadata.from_bytes(holders.draft.read_bytes())
    forged.signed.roles["root"].threshold = 1
    holders.draft.write_bytes(encode_metadata(forged))
    code, _, err = shell.types(
        "renew", shell.mirror, "--offline", holders.stick(2), "--passphrase-file", shell.passphrase
    )
    assert code == 3
    assert "draft of root: says something else than version 2 renewed" in err
    assert not (holders.layout.metadata / "2.root.json").exists()


def test_a_holder_never_signs_a_later_expiry_than_he_asked_for(shell: Shell) -> None:
    holders = Holders(shell)
    stick = holders.stick(1)
    shell.signs("renew", shell.mirror, "--offline", stick, "--days", "3650")
    code, _, err = shell.types(
        "renew", shell.mirror, "--offline", holders.stick(2), "--passphrase-file", shell.passphrase
    )
    assert code == 3
    assert "later than asked" in err


def test_keys_of_another_repository_cannot_renew(shell: Shell) -> None:
    shell.signs("init", shell.mirror)
    shell.signs("init", shell.folder / "other")
    code, _, err = shell.types(
        "renew", shell.mirror, "--offline", shell.folder / "other" / "keys" / "offline",
        "--passphrase-file", shell.passphrase,
    )  # fmt: skip
    assert code == 2
    assert "none of the keys at hand may sign" in err


TERM = ("--starts-on", "2026-04-01", "--ends-on", "2027-03-31", "--tz", "Asia/Tokyo")
FIELDS = (
    "--serial", "EAV-0001", "--kind", "scanner", "--organisation", JAPANESE,
    "--product", "メール", "--seats", "250", "--feed", "clamav", "--username", "EAV-0123456",
    *TERM,
)  # fmt: skip


def test_japanese_text_and_dates_travel_through_issue_and_show(shell: Shell) -> None:
    issuer = shell.issuer()
    licence = shell.issue("a.lic", *FIELDS)
    found = shell.asks("licence", "show", licence, "--issuer", issuer, "--at", "2027-03-31")
    assert found["organisation"] == JAPANESE
    assert (found["state"], found["days_left"], found["host_limit"]) == ("expiring", 0, 4)
    assert (found["ends_on"], found["tz"]) == ("2027-03-31", "Asia/Tokyo")
    out = shell.does("licence", "show", licence, "--issuer", issuer, "--at", "2027-04-01")
    assert "state: renewal_window" in out
    assert f"organisation: {JAPANESE}" in out


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ["Licence notice", "250 mailboxes", "2027-03-31 (Asia/Tokyo)", 'lang="en"']),
        ("ja", ["ライセンス通知書", "250 メールボックス", "2027年3月31日", 'lang="ja"']),
    ],
)
def test_a_notice_is_a_printable_page(shell: Shell, language: str, texts: list[str]) -> None:
    issuer = shell.issuer()
    licence = shell.issue("a.lic", *FIELDS)
    page = shell.does("licence", "notice", licence, "--issuer", issuer, "--language", language)
    for text in (*texts, "EAV-0001", "EAV-0123456", "********", "size: A4", 'charset="utf-8"'):
        assert text in page
    assert "株式会社&lt;サンプル&gt; &amp; 子会社" in page
    assert "<サンプル>" not in page
    out = shell.folder / f"{language}.html"
    shell.does(
        "licence", "notice", licence, "--issuer", issuer, "--language", language, "--out", out
    )
    assert out.read_text("utf-8") == page


def test_a_renewal_follows_from_the_file_before(shell: Shell) -> None:
    issuer = shell.issuer()
    first = shell.issue("a.lic", *FIELDS)
    second = shell.issue("b.lic", "--renews", first, "--ends-on", "2028-03-31")
    found = shell.asks("licence", "show", second, "--issuer", issuer)
    assert (found["sequence"], found["starts_on"]) == (2, "2027-04-01")
    assert (found["organisation"], found["replaces"]) == (JAPANESE, "EAV-0001-1")


def test_a_renewal_is_not_issued_90_days_after_the_end(shell: Shell) -> None:
    shell.issuer()
    end = date.today() - timedelta(days=92)  # noqa: DTZ011 - two days off any zone's edge
    term = ("--starts-on", str(end - timedelta(days=364)), "--ends-on", str(end))
    first = shell.issue("a.lic", *FIELDS, *term)
    code, _, err = shell.types(
        "licence", "issue", "--key", shell.folder / "issuer", "--out", shell.folder / "b.lic",
        "--renews", first, "--ends-on", str(end + timedelta(days=365)),
        "--passphrase-file", shell.passphrase,
    )  # fmt: skip
    assert code == 4
    assert "could be renewed until" in err
    assert not (shell.folder / "b.lic").exists()


def test_a_small_add_on_is_issued_with_a_warning(shell: Shell) -> None:
    shell.issuer()
    today = date.today()  # noqa: DTZ011 - weeks off any zone's edge
    term = ("--starts-on", str(today - timedelta(days=30)), "--ends-on",
            str(today + timedelta(days=60)))  # fmt: skip
    first = shell.issue("a.lic", *FIELDS, *term)
    code, _, err = shell.types(
        "licence", "issue", "--key", shell.folder / "issuer", "--out", shell.folder / "b.lic",
        "--renews", first, *term, "--seats", "252", "--passphrase-file", shell.passphrase,
    )  # fmt: skip
    assert code == 0
    assert "warning: an add-on of 2 seats; the minimum is 3" in err


def test_a_record_may_be_written_as_toml(shell: Shell) -> None:
    issuer = shell.issuer()
    record = shell.folder / "record.toml"
    record.write_text(
        f'serial = "S-1"\nkind = "feed"\nproduct = ""\norganisation = "{JAPANESE}"\nseats = 50\n'
        'starts_on = 2026-04-01\nends_on = "2027-03-31"\nfeeds = ["kam"]\nwarn_days = [10]\n'
    )
    licence = shell.issue("a.lic", "--record", record, "--seats", "60")
    found = shell.asks("licence", "show", licence, "--issuer", issuer)
    assert (found["seats"], found["warn_days"], found["tz"]) == (60, [10], "UTC")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--ends-on", "2O27-03-31"), "ends_on: '2O27-03-31': Invalid"),
        (("--ends-on", "2036-03-31"), "more than 5 years"),
        (("--tz", "Asia/Edo"), "no such time zone"),
        (("--seats", "0"), "seats: 0: Expected"),
        (("--feed", "Root"), "not a channel name"),
        (("--serial", ""), "serial: '': Expected"),
    ],
)
def test_a_malformed_record_is_not_signed(
    shell: Shell, words: tuple[str, ...], reason: str
) -> None:
    shell.issuer()
    out = shell.folder / "a.lic"
    code, _, err = shell.types(
        "licence", "issue", "--key", shell.folder / "issuer", "--out", out, *FIELDS, *words,
        "--passphrase-file", shell.passphrase,
    )  # fmt: skip
    assert code == 2
    assert reason in err
    assert not out.exists()


def test_a_forged_licence_is_refused_by_every_command(shell: Shell) -> None:
    issuer = shell.issuer()
    licence = shell.issue("a.lic", *FIELDS)
    data = bytearray(licence.read_bytes())
    data[len(data) // 2] ^= 1
    licence.write_bytes(bytes(data))
    for command in ("show", "notice"):
        code, out, err = shell.types("licence", command, licence, "--issuer", issuer)
        assert (code, out) == (4, "")
        assert f"error: {licence}: " in err


def test_a_wrong_passphrase_names_the_key(shell: Shell) -> None:
    shell.issuer()
    shell.passphrase.write_text("not the passphrase\n")
    code, _, err = shell.types(
        "licence", "issue", "--key", shell.folder / "issuer", "--out", shell.folder / "a.lic",
        *FIELDS, "--passphrase-file", shell.passphrase,
    )  # fmt: skip
    assert code == 2
    assert f"error: {shell.folder / 'issuer'}: wrong passphrase" in err
    assert not (shell.folder / "a.lic").exists()

from pathlib import Path

import pytest

from keys.credentials import (
    Credential,
    Secret,
    passphrase,
    read_credential,
    read_secret,
    redact_url,
)
from keys.errors import SettingsError, UsageError


def test_a_secret_shows_in_no_text() -> None:
    secret = Secret("hunter2")
    credential = Credential("EAV-0123456", secret)
    for text in (str(secret), repr(secret), f"{secret}", repr(credential), str([secret])):
        assert "hunter2" not in text
    assert secret.reveal() == "hunter2"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"pw", "pw"),
        (b"pw\n", "pw"),
        (b"pw\r\n", "pw"),
        (b" p w \n", " p w "),
        ("密".encode(), "密"),
    ],
)
def test_one_line_break_at_the_end_is_not_part_of_a_secret(
    tmp_path: Path, data: bytes, text: str
) -> None:
    (tmp_path / "f").write_bytes(data)
    assert read_secret(tmp_path / "f").reveal() == text


@pytest.mark.parametrize("data", [b"", b"\n", b"\xff", b"x" * 5000])
def test_an_unusable_secret_file_is_named_without_its_content(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "pw").write_bytes(data)
    with pytest.raises(SettingsError, match="pw: ") as caught:
        read_secret(tmp_path / "pw")
    assert "xxx" not in str(caught.value)


def test_a_host_credential_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("mx1:a:b\n")
    assert read_credential(tmp_path / "c") == Credential("mx1", Secret("a:b"))
    (tmp_path / "c").write_text("mx1\n")
    with pytest.raises(SettingsError, match="NAME:PASSWORD"):
        read_credential(tmp_path / "c")


def test_a_passphrase_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGMIRROR_PASSPHRASE", "from-env")
    (tmp_path / "p").write_text("from-file\n")
    assert passphrase(tmp_path / "p", "SIGMIRROR_PASSPHRASE").reveal() == "from-file"
    assert passphrase(None, "SIGMIRROR_PASSPHRASE").reveal() == "from-env"
    monkeypatch.delenv("SIGMIRROR_PASSPHRASE")
    with pytest.raises(UsageError) as caught:
        passphrase(None, "SIGMIRROR_PASSPHRASE")
    assert "--passphrase-file" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://EAV-1:pw@v.example/r/site", "https://***@v.example/r/site"),
        ("https://v.example/a?oinkcode=secret", "https://v.example/a"),
        ("https://v.example/a#t", "https://v.example/a"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert redact_url(url) == shown

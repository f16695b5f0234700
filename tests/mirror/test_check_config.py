"""`sigmirror check-config` and `probe`: each problem once, by the key it belongs to."""

from pathlib import Path

import pytest

from tests.mirror.operator import Operator


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(tmp_path, capsys)


FEED = """
[[upstream]]
name = "paid"
kind = "http"
channel = "paid"
url = "https://feed.example/a.rules"
"""


@pytest.mark.parametrize("content", [b"", b"untrusted comment: a key\n", b"\0\1\2"])
@pytest.mark.parametrize("scheme", ["minisign", "openpgp"])
def test_a_key_file_without_a_key_is_named(
    operator: Operator, tmp_path: Path, content: bytes, scheme: str
) -> None:
    key = tmp_path / "vendor.pub"
    key.write_bytes(content)
    pins = f'fingerprints = ["{"a" * 40}"]\n' if scheme == "openpgp" else ""
    operator.write(f'{FEED}verify = ["{scheme}"]\n{pins}verify_keys = ["{key}"]\n')
    code, out, err = operator.types("check-config")
    assert code == 2
    assert f"upstream paid: verify_keys: {key}: " in out + err


def test_a_missing_token_file_is_told_as_missing_and_as_nothing_else(operator: Operator) -> None:
    operator.write('[[upstream]]\nname = "paid"\npreset = "securiteinfo"\nchannel = "paid"\n')
    code, out, err = operator.types("check-config")
    problems = [line for line in (out + err).splitlines() if line.startswith("problem: ")]
    assert code == 2
    assert problems
    assert all("token_file: missing" in line for line in problems), problems


def test_what_a_probe_does_not_know_is_said_in_words(operator: Operator) -> None:
    text = operator.config.read_text()
    operator.config.write_text(f'{text}marker = "complete"\n')
    code, out, _ = operator.types("probe", "inhouse")
    assert (code, "waiting for the file complete" in out) == (0, True)
    assert "unknown" in next(line for line in out.splitlines() if line.startswith("bytes:"))
    assert operator.asks("probe", "inhouse")["bytes"] is None

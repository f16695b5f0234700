import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import NameRefusedError
from keys.model import names

SEGMENTS = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=40)


@pytest.mark.parametrize("name", ["clamav", "signature-base", "7zip", "a"])
def test_an_ordinary_channel_name_is_taken(name: str) -> None:
    assert names.check_channel(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "-a", "A", "a_b", "a/b", "..", "a" * 64, "a\n", "日本", "clamav-files"),
        *("root", "targets", "snapshot", "timestamp", "channels", "policy"),
    ],
)
def test_a_channel_name_that_could_pass_for_a_role_or_a_path_is_refused(name: str) -> None:
    with pytest.raises(NameRefusedError):
        names.check_channel(name)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("", id="empty"),
        pytest.param("/etc/passwd", id="absolute"),
        pytest.param("a/../b", id="parent"),
        pytest.param("./a", id="dot"),
        pytest.param("a//b", id="empty segment"),
        pytest.param(".hidden.hdb", id="hidden"),
        pytest.param("a\\b", id="backslash"),
        pytest.param("a\nb", id="line break"),
        pytest.param("a\u202egpj.exe", id="direction override"),
        pytest.param("a\u0000b", id="null"),
        pytest.param("か\u3099.yar", id="decomposed kana"),
        pytest.param("/".join("abcdefghi"), id="nine deep"),
        pytest.param("あ" * 30, id="too long once published"),
    ],
)
def test_a_hostile_path_is_refused_by_name(path: str) -> None:
    with pytest.raises(NameRefusedError, match="file "):
        names.check_path(path)


@pytest.mark.parametrize(
    ("path", "published"),
    [
        ("yara/apt.yar", "yara/apt.yar"),
        ("a b@c%.yar", "a@20b@40c@25.yar"),
        ("規則.yar", "@E8@A6@8F@E5@89@87.yar"),
        ("x?#&.hdb", "x@3F@23@26.hdb"),
    ],
)
def test_a_path_is_published_with_plain_characters_only(path: str, published: str) -> None:
    assert names.publish_path(path) == published


@given(st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join))
def test_publishing_any_accepted_path_is_plain_and_reversible(path: str) -> None:
    try:
        published = names.publish_path(path)
    except NameRefusedError:
        return
    assert set(published) <= set(string.ascii_letters + string.digits + "._+@-/")
    back = re.sub(
        "(?:@[0-9A-F]{2})+", lambda m: bytes.fromhex(m[0].replace("@", "")).decode(), published
    )
    assert back == path


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(["A.yar", "a.yar"], id="case"),
        pytest.param(["a", "a/b"], id="file and folder"),
        pytest.param(["x/A/b", "x/a"], id="file and folder by case"),
        pytest.param(["a", "a"], id="twice"),
    ],
)
def test_two_paths_that_one_file_system_cannot_tell_apart_are_refused(paths: list[str]) -> None:
    with pytest.raises(NameRefusedError, match=r"clashes|folder of"):
        names.check_unique(paths)

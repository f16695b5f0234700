"""The texts that set-up reads and edits: clamd.conf lines, unit conditions, AppArmor rules."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.updater import debian_host
from updater.setup import apparmor, directives, dropins, units
from updater.setup.layout import ENGINE_UNITS, Layout

KEY = "DatabaseDirectory"

names = st.sampled_from([KEY, "databasedirectory", "User", "MaxThreads", "# " + KEY, "#", ""])
values = st.text(st.characters(exclude_categories=("C", "Z")), max_size=8)
endings = st.sampled_from(["\n", "\r\n"])
texts = st.lists(st.tuples(names, values, endings), max_size=8).map(
    lambda lines: "".join(f"{name} {value}{ending}" for name, value, ending in lines)
)


class TestDirectives:
    @given(texts, values.filter(bool))
    def test_what_was_set_is_read_back_and_stands_there_once(self, text: str, value: str) -> None:
        edited = directives.with_value(text, KEY, f"/{value}")
        assert directives.value(edited, KEY) == f"/{value}".strip('"')
        assert directives.with_value(edited, KEY, f"/{value}") == edited

    @given(texts, values.filter(bool))
    def test_every_other_line_stays_byte_for_byte(self, text: str, value: str) -> None:
        def others(lines: str) -> list[str]:
            return [
                line
                for line in lines.splitlines(keepends=True)
                if not line.strip().lower().startswith(KEY.lower())
            ]

        assert others(directives.with_value(text, KEY, value)) == others(text)

    @given(texts, values.filter(bool))
    def test_carrying_back_what_nobody_touched_gives_the_old_value(
        self, text: str, value: str
    ) -> None:
        written = directives.with_value(text, KEY, f"/{value}")
        back = directives.carried_back(written, written=written, original=text, keys=(KEY,))
        assert directives.value(back, KEY) == directives.value(text, KEY)

    @given(texts)
    def test_a_directive_taken_out_is_in_force_no_more(self, text: str) -> None:
        assert directives.value(directives.without(text, KEY), KEY) is None

    def test_a_value_the_admin_chose_since_is_not_carried_back(self) -> None:
        assert (
            directives.carried_back(
                "DatabaseDirectory /his\n",
                written="DatabaseDirectory /ours\n",
                original="DatabaseDirectory /old\n",
                keys=(KEY,),
            )
            == "DatabaseDirectory /his\n"
        )


class TestConditions:
    def test_an_empty_assignment_of_any_condition_clears_them_all(self) -> None:
        unit = "[Unit]\nConditionPathExistsGlob=/a\nConditionPathExists=/b\n"
        dropin = "[Unit]\nConditionPathExists=\nConditionPathExists=/c\n"
        assert units.conditions([unit]) == (
            "ConditionPathExistsGlob=/a",
            "ConditionPathExists=/b",
        )
        assert units.conditions([unit, dropin]) == ("ConditionPathExists=/c",)

    def test_comments_other_sections_and_other_keys_do_not_count(self) -> None:
        text = "# ConditionHost=a\n[Unit]\n;ConditionHost=x\nAfter=y\n[Service]\nConditionHost=z\n"
        assert units.conditions([text]) == ()

    def test_systemd_itself_starts_debians_units_only_with_a_generation(
        self, tmp_path: Path
    ) -> None:
        """Hand systemd's own parser the unit's conditions and then our drop-in's."""
        root, place = debian_host.copy(tmp_path / "root"), Layout(folder=str(tmp_path))
        for unit, dropin in zip(ENGINE_UNITS, dropins.texts(place).values(), strict=False):
            original = (root / f"lib/systemd/system/{unit}").read_text()
            assert not holds(original)
            assert not holds(original + dropin)
            (tmp_path / "current").mkdir()
            assert holds(original + dropin)
            (tmp_path / "current").rmdir()


def holds(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.startswith("Condition")]
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    done = subprocess.run(
        ["systemd-analyze", "condition", *lines], capture_output=True, check=False
    )
    return done.returncode == 0


PROFILE = """
/usr/sbin/clamd {
  #include <abstractions/base>
  /var/lib/clamav/ r,
  /var/lib/clamav/** krw,
  /{,var/}run/clamav/clamd.ctl w,
  r /srv/definitions/*.ndb,
  owner /home/*/x r,
  "/srv/with space/**" r,
  @{HOME}/** r,
}
"""


class TestAppArmor:
    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("/var/lib/clamav/sigmirror/generations/1-0/x.ndb", True),
            ("/var/lib/clamav/", True),
            ("/var/lib/sigmirror/x.ndb", False),
            ("/srv/definitions/x.ndb", True),
            ("/srv/definitions/deep/x.ndb", False),
            ("/srv/with space/a/b", True),
            ("/run/clamav/clamd.ctl", False),  # only written
            ("/home/a/x", False),  # only by its owner
        ],
    )
    def test_a_path_may_be_read_when_a_rule_says_so(self, path: str, *, allowed: bool) -> None:
        assert apparmor.may_read(apparmor.read_rules(PROFILE), path) is allowed

    def test_a_deny_rule_beats_every_other(self) -> None:
        rules = apparmor.read_rules(PROFILE + "deny /var/lib/clamav/sigmirror/** r,\n")
        assert not apparmor.may_read(rules, "/var/lib/clamav/sigmirror/generations/1-0/x.ndb")
        assert apparmor.may_read(rules, "/var/lib/clamav/main.cvd")

    def test_alternatives_in_braces_are_understood(self) -> None:
        rules = apparmor.read_rules("/var/lib/{clamav,own}/** r,\n/a{,b}/x r,\n")
        assert apparmor.may_read(rules, "/var/lib/own/x/y")
        assert apparmor.may_read(rules, "/a/x")
        assert apparmor.may_read(rules, "/ab/x")
        assert not apparmor.may_read(rules, "/ac/x")

    def test_debians_installed_profile_covers_the_engine_folder(self, tmp_path: Path) -> None:
        root = debian_host.copy(tmp_path)
        rules = apparmor.read_rules((root / "etc/apparmor.d/usr.sbin.clamd").read_text())
        assert apparmor.may_read(rules, "/var/lib/clamav/sigmirror/generations/1-0/x.ndb")
        assert not apparmor.may_read(rules, "/var/lib/sigupdate/engines/clamd/current/x.ndb")

    @given(st.text(st.sampled_from('/*?{},[]^\\ab "r,'), max_size=20))
    @example("[]{,,")
    def test_no_profile_makes_the_reader_crash(self, text: str) -> None:
        apparmor.may_read(apparmor.read_rules(f"/{text} r,\n"), "/a/b")

"""Headers of an HTTP answer: whatever they hold, reading them says something or nothing."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import Error
from updater.fetch import answers

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "Content-Range", "ETag", "Licence-Ends-On", "Licence-Tz"]),
    st.text(max_size=40),
)


@given(st.integers(100, 599), HEADERS)
def test_every_answer_is_a_body_or_one_of_our_errors(status: int, headers: dict[str, str]) -> None:
    error = answers.failure(status, headers, "http://m/x", now=NOW)
    assert (error is None) is (status in {200, 206})
    if error is not None:
        assert isinstance(error, Error)
        assert "http://m/x" in str(error)
    answers.range_start(headers)
    assert answers.retry_after(headers.get("Retry-After", ""), now=NOW) >= 0
    tag = answers.strong_etag(headers)
    assert tag == "" or tag == headers["ETag"]


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_content_range_is_read_back(first: int, last: int, total: int) -> None:
    headers = {"Content-Range": f"bytes {first}-{last}/{total}"}
    assert answers.range_start(headers) == (first, total)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (format_datetime(NOW, usegmt=True), 0),
        ("Tue, 31 Mar 2026 12:01:30 GMT", 90),
        ("Tue, 31 Mar 2026 11:00:00 GMT", 0),
        ("Tue, 31 Mar 2026 12:01:30", 90),
        ("١٢", 0),
        ("", 0),
    ],
)
def test_a_wait_is_a_number_of_seconds_or_a_date(value: str, seconds: float) -> None:
    assert answers.retry_after(value, now=NOW) == seconds


@pytest.mark.parametrize(
    ("tag", "usable"),
    [('"abc"', True), ('W/"abc"', False), ("abc", False), ('""', False), ('"a\nb"', False)],
)
def test_only_a_strong_tag_is_fit_for_a_resume(tag: str, usable: bool) -> None:
    assert bool(answers.strong_etag({"ETag": tag})) is usable

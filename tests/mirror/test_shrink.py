"""When does a release shrink too much?"""

from hypothesis import given
from hypothesis import strategies as st

from mirror.shrink import Size, shrink_of

lengths = st.integers(0, 1 << 50)
counts = st.none() | st.integers(0, 1 << 40)
sizes = st.builds(Size, lengths, counts)
percents = st.integers(0, 100)


@given(sizes, sizes)
def test_with_a_share_of_zero_nothing_is_held(before: Size, after: Size) -> None:
    assert shrink_of(before, after, below_percent=0) is None


@given(sizes, lengths, percents)
def test_what_grows_is_never_held(before: Size, more: int, percent: int) -> None:
    count = before.signatures
    after = Size(before.length + more, None if count is None else count + more)
    assert shrink_of(before, after, below_percent=percent) is None


@given(sizes, sizes, percents)
def test_a_release_is_held_exactly_when_one_measure_falls_below_its_share(
    before: Size, after: Size, percent: int
) -> None:
    measures = [(before.length, after.length)]
    if before.signatures is not None and after.signatures is not None:
        measures.append((before.signatures, after.signatures))
    falls = any(new * 100 < old * percent for old, new in measures)
    assert (shrink_of(before, after, below_percent=percent) is not None) == falls


@given(sizes, sizes, percents, percents)
def test_a_lower_share_holds_less(before: Size, after: Size, one: int, other: int) -> None:
    low, high = sorted((one, other))
    if shrink_of(before, after, below_percent=low):
        assert shrink_of(before, after, below_percent=high)


@given(sizes, sizes, percents)
def test_a_hold_says_how_much_is_left(before: Size, after: Size, percent: int) -> None:
    if shrink := shrink_of(before, after, below_percent=percent):
        assert 0 <= shrink.percent < percent
        assert f"{shrink.percent} %" in str(shrink)
        assert f"{before.length} -> {after.length} bytes" in str(shrink)


def test_signatures_that_one_side_does_not_count_do_not_matter() -> None:
    assert shrink_of(Size(100, 1000), Size(100, None), below_percent=80) is None
    assert shrink_of(Size(100, None), Size(100, 1), below_percent=80) is None
    shrink = shrink_of(Size(100, 1000), Size(100, 799), below_percent=80)
    assert shrink
    assert str(shrink) == (
        "shrinks to 79 % (100 -> 100 bytes, 1000 -> 799 signatures); below 80 % a release is held"
    )

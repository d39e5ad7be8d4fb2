"""Deep books as lines: whatever samples follow each other, their lines give them back, and nothing else passes."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2vault.book.deep import (
    DeepReplay,
    DeepSample,
    Refused,
    best_first,
    checksum_of,
    deep_line_of,
    from_deep_line,
    to_deep_line,
)
from l2vault.errors import LineError

INST, T0 = "BTC-USDT-SWAP", 1_767_225_600_000
PRICES = [f"{100 + at / 10:.1f}".removesuffix(".0") for at in range(30)]


@st.composite
def samples(draw: st.DrawFn) -> list[DeepSample]:
    sizes = st.sampled_from(["1", "2.5", "0.01", "900"])
    sides = st.dictionaries(st.sampled_from(PRICES), st.tuples(sizes, st.sampled_from(["1", "7"])), max_size=12)
    found = []
    for at in range(draw(st.integers(1, 6))):
        bids, asks = ([(price, *rest) for price, rest in draw(sides).items()] for _ in "ba")
        found.append(DeepSample(INST, T0 + at * 30_000, best_first(bids, True), best_first(asks, False), None, at))
    return found


def lines_of(found: list[DeepSample]) -> list[bytes]:
    return [to_deep_line(deep_line_of(now, before)) for before, now in zip([None, *found[:-1]], found, strict=True)]


@settings(max_examples=25)
@given(samples())
def test_lines_give_back_every_sample(found: list[DeepSample]) -> None:
    replay, lines = DeepReplay(), lines_of(found)
    for sample, text in zip(found, lines, strict=True):
        line = from_deep_line(text)
        assert to_deep_line(line) == text
        assert replay.apply(line) == sample


@settings(max_examples=25)
@given(samples(), st.data())
def test_behind_a_line_that_is_gone_nothing_is_given_before_a_whole_one(
    found: list[DeepSample], data: st.DataObject
) -> None:
    gone = data.draw(st.integers(0, len(found) - 1))
    whole = to_deep_line(deep_line_of(found[-1], None))
    replay, lines = DeepReplay(), [*lines_of(found), whole]
    given = [replay.apply(from_deep_line(text)) for at, text in enumerate(lines) if at != gone]
    assert given[:gone] == found[:gone]
    assert all(isinstance(each, Refused) for each in given[gone:-1])
    assert given[-1] == found[-1]


def test_a_level_that_was_altered_is_refused_by_its_checksum() -> None:
    level, other = ("100", "1", "2"), ("100", "1", "3")
    sample = DeepSample(INST, T0, [level], [("101", "1", "1")], None, 0)
    assert checksum_of(sample) == 510_499_756 + 2_206_850_915, "the CRC-32 of `b 100 1 2` and of `a 101 1 1`"
    altered = msgspec.structs.replace(deep_line_of(sample, None), bids=[other])
    refused = DeepReplay().apply(altered)
    assert isinstance(refused, Refused) and "checksum" in refused.why


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"before_utc":null', b'"before_utc":"2026-01-01T00:00:00.000Z"'),
        (b'"channel":"books-full"', b'"channel":"books"'),
        (b'"checksum":', b'"checksum":-'),
        (b'["100","1","2"]', b'["100","1"]'),
        (b"}", b""),
    ],
)
def test_another_line_is_refused(old: bytes, new: bytes) -> None:
    sample = DeepSample(INST, T0, [("100", "1", "2")], [("101", "1", "1")], None, 0)
    text = to_deep_line(deep_line_of(sample, None))
    assert old in text
    with pytest.raises(LineError, match="not a line of"):
        from_deep_line(text.replace(old, new))

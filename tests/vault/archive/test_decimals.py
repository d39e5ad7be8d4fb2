"""Decimal strings as whole numbers of one unit, exactly."""

from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.errors import LevelError
from l2vault.vault.archive import columns
from l2vault.vault.archive.columns import fixed_point, plain_text

DECIMALS = st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,8})?", fullmatch=True)


@given(st.lists(DECIMALS, min_size=1))
def test_the_value_is_exact_and_a_plain_string_comes_back(texts):
    fixed = fixed_point(texts)
    for text, num, is_plain in zip(texts, fixed.num.tolist(), fixed.is_plain.tolist(), strict=True):
        assert Fraction(num, fixed.den) == Fraction(text)
        assert (plain_text(num, fixed.den) == text) == is_plain


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ("0", True),
        ("64223", True),
        ("0.00001565", True),
        ("64223.1", True),
        ("64223.10", False),
        ("64223.0", False),
        ("64223.", False),
        ("007", False),
        ("00.5", False),
        ("0.0", False),
    ],
)
def test_plain_is_how_okx_spells_it(text, is_plain):
    assert fixed_point([text]).is_plain.tolist() == [is_plain]


def test_the_unit_is_the_finest_that_is_needed():
    assert (fixed_point(["1.50", "2.25"]).den, fixed_point(["1.50", "2"]).den, fixed_point(["7.0"]).den) == (100, 10, 1)


@pytest.mark.parametrize("text", ["", ".5", "-1", "1e5", " 1", "1,5", "٣", "1" * 31, "0." + "1" * 19])
def test_what_is_no_plain_decimal_is_refused(text):
    with pytest.raises(LevelError):
        fixed_point(["1", text])


@given(st.lists(DECIMALS, min_size=1, max_size=9), st.integers(1, 4))
def test_many_texts_are_read_some_at_a_time(texts, at_once):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(columns, "_TEXTS_AT_ONCE", at_once)
        some, arrow = fixed_point(texts), fixed_point(pa.array(texts))
    whole = fixed_point(texts)
    for found in (some, arrow):
        assert (found.num.tolist(), found.den, found.is_plain.tolist()) == (
            whole.num.tolist(),
            whole.den,
            whole.is_plain.tolist(),
        )


def test_what_does_not_fit_beside_the_others_is_refused():
    assert fixed_point(["1152921504606846976"]).num.tolist() == [2**60]
    with pytest.raises(LevelError):
        fixed_point(["1152921504606846976", "0.5"])
    with pytest.raises(LevelError):
        fixed_point([str(2**60), *["1"] * columns._TEXTS_AT_ONCE, "0.5"])
    with pytest.raises(LevelError, match="9{30} units of 1e-0"):
        fixed_point(["9" * 30])

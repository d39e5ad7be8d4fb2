"""Exact order and exact halves of decimal strings. T25: a float key would take two prices for one, or one for two."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.price import SCALE_DIGITS, WHOLE_DIGITS, Memo, is_zero, mid_price, price_key
from l2vault.errors import LevelError

NOT_PLAIN = {
    "empty": "",
    "a word": "NaN",
    "infinite": "Infinity",
    "an exponent": "1e5",
    "a large exponent": "1E5",
    "negative": "-1",
    "minus zero": "-0",
    "a plus": "+1",
    "an Arabic digit": "\u0661",
    "a superscript digit": "\u00b2",
    "an Arabic digit after the point": "1.\u0661",
    "an underscore": "1_000",
    "an underscore after the point": "1.0_0",
    "a space before": " 1",
    "a space behind": "1 ",
    "a line end": "1\n",
    "no whole part": ".5",
    "a point alone": ".",
    "two points": "1.2.3",
    "hexadecimal": "0x10",
    "a comma": "1,5",
    "a fraction": "1/2",
    "a NUL": "1\x00",
    "too many decimals": "0." + "0" * SCALE_DIGITS + "1",
    "too many decimals, all zero": "1." + "0" * (SCALE_DIGITS + 1),
    "too many digits": "1" * (WHOLE_DIGITS + 1),
    "more digits than int reads": "9" * 5000,
}

plain_numbers = st.builds(
    lambda whole, fraction: whole + fraction,
    st.text("0123456789", min_size=1, max_size=WHOLE_DIGITS),
    st.one_of(st.just(""), st.text("0123456789", min_size=1, max_size=SCALE_DIGITS).map(lambda digits: f".{digits}")),
)


@pytest.mark.parametrize(
    ("one", "other"),
    [("64223", "64223.0"), ("5.13", "5.1300"), ("0", "0.000"), ("007", "7"), ("1", "1." + "0" * SCALE_DIGITS)],
)
def test_two_spellings_of_one_price_are_one_price_t25(one: str, other: str) -> None:
    assert price_key(one) == price_key(other)


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("9", "10"),
        ("9.9", "10"),
        ("64223", "64223.000000000000000001"),
        ("0.1", "0.10000000000000001"),  # one float
        ("9007199254740992", "9007199254740993"),  # one float
        ("0.00000001", "0.0000001"),
        ("1" * WHOLE_DIGITS, "1" * (WHOLE_DIGITS - 1) + "2"),
    ],
)
def test_prices_sort_as_numbers_and_not_as_text_or_floats_t25(lower: str, higher: str) -> None:
    assert price_key(lower) < price_key(higher)


@given(plain_numbers, plain_numbers)
def test_keys_compare_exactly_as_the_numbers_do(one: str, other: str) -> None:
    assert (price_key(one) < price_key(other)) == (Fraction(one) < Fraction(other))
    assert (price_key(one) == price_key(other)) == (Fraction(one) == Fraction(other))


@given(plain_numbers)
def test_a_key_is_the_number_in_units_of_1e_18(text: str) -> None:
    assert Fraction(price_key(text), 10**SCALE_DIGITS) == Fraction(text)


@pytest.mark.parametrize("text", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_is_not_a_plain_decimal_is_refused_everywhere(text: str) -> None:
    with pytest.raises(LevelError):
        price_key(text)
    with pytest.raises(LevelError):
        mid_price("1", text)
    with pytest.raises(LevelError):
        mid_price(text, "1")


@pytest.mark.parametrize("text", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_a_quantity_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(LevelError):
        is_zero(text)


@pytest.mark.parametrize("quantity", ["0", "0.0", "0.00000000", "00", "000.000"])
def test_every_spelling_of_zero_deletes(quantity: str) -> None:
    assert is_zero(quantity)


@pytest.mark.parametrize("quantity", ["1", "10", "0.1", "100.0", "0.000000000000000001", "790.41", "01"])
def test_what_is_more_than_nothing_does_not_delete(quantity: str) -> None:
    assert not is_zero(quantity)


@given(plain_numbers)
def test_zero_is_what_equals_zero(quantity: str) -> None:
    assert is_zero(quantity) == (Fraction(quantity) == 0)


@pytest.mark.parametrize(
    ("bid", "ask", "mid"),
    [
        ("43250.7", "43250.8", "43250.75"),
        ("64216.6", "64216.7", "64216.65"),
        ("1", "2", "1.5"),
        ("10", "20", "15"),
        ("100", "100", "100"),
        ("99.5", "100.5", "100"),
        ("64223", "64223.0", "64223"),
        ("0", "0", "0"),
        ("0.00000001", "0.00000002", "0.000000015"),
        ("0.000000000000000001", "0.000000000000000002", "0.0000000000000000015"),
        ("123456789012345678901234567890", "123456789012345678901234567891.1", "123456789012345678901234567890.55"),
    ],
)
def test_the_mid_price_is_exact_and_written_plainly(bid: str, ask: str, mid: str) -> None:
    assert mid_price(bid, ask) == mid


@given(plain_numbers, plain_numbers)
def test_the_mid_price_is_the_half_of_the_sum_without_exponent_or_idle_zeros(bid: str, ask: str) -> None:
    mid = mid_price(bid, ask)
    assert Fraction(mid) == (Fraction(bid) + Fraction(ask)) / 2
    assert set(mid) <= set("0123456789.")
    assert "." not in mid or not mid.endswith(("0", "."))
    assert mid == "0" or not mid.startswith("0") or mid.startswith("0.")


def test_what_is_remembered_is_computed_once() -> None:
    asked: list[str] = []
    memo = Memo(lambda text: asked.append(text) or len(text), 8)
    assert [memo["a"], memo["bb"], memo["a"]] == [1, 2, 1]
    assert asked == ["a", "bb"]


def test_a_memo_never_holds_more_than_its_limit() -> None:
    memo = Memo(len, 3)
    for length in range(1, 12):
        assert memo["x" * length] == length
        assert len(memo) <= 3


def test_what_cannot_be_computed_is_not_remembered() -> None:
    memo = Memo(price_key, 8)
    for _ in range(2):
        with pytest.raises(LevelError):
            memo["1e5"]
    assert not memo


def test_what_is_no_price_is_quoted_by_its_beginning_however_long_it_is() -> None:
    with pytest.raises(LevelError) as refused:
        price_key("9" * 100_000)
    assert len(refused.value.message) < 100

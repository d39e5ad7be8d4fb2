"""How names, durations and numbers may be written, and what is refused with which cure."""

import time
from argparse import Namespace

import pytest

from l2vault.errors import UsageError
from l2vault.grammar import duration_ms, number, numbers, split_names
from l2vault.verbs.words import asked_instruments


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", 90_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("1w", 7 * 86_400_000),
        ("500ms", 500),
        ("4hours", 14_400_000),
        ("4 Hours", 14_400_000),
        ("1.5h", 5_400_000),
        ("1h30m", 5_400_000),
        (" 1 day 12 hrs ", 129_600_000),
        ("15min", 900_000),
        ("0.001s", 1),
    ],
)
def test_durations_have_a_unit_in_any_usual_spelling(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    ["", "5", "h", "5 parsecs", "-5m", "0s", "0.1ms", "1e3s", "5m-", "nan", "infs", "1000000h", "9" * 15 + "w", "5m\0"],
)
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        duration_ms(text)
    assert "90s, 15m, 2h or 1d" in refused.value.cure


@pytest.mark.parametrize("text", ["1M", "5 M", "1h5M", "5M30s"])
def test_a_capital_m_is_a_month_to_okx_and_no_minute(text: str) -> None:
    with pytest.raises(UsageError, match="could be minutes or months"):
        duration_ms(text, bare="s")


def test_a_bare_number_has_a_unit_only_where_one_is_asked_for() -> None:
    assert duration_ms("0.5", bare="s") == 500
    assert duration_ms("0.5", bare="m") == 30_000
    assert duration_ms("5m", bare="s") == 300_000
    assert duration_ms("0", bare="s", least_ms=0) == duration_ms("0s", least_ms=0) == 0
    with pytest.raises(UsageError):
        duration_ms("0.5")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("10k", 1e4),
        ("10K", 1e4),
        ("2.5M", 2.5e6),
        ("2.5m", 2.5e6),
        ("1B", 1e9),
        ("1e6", 1e6),
        ("1E-2", 0.01),
        ("1_000_000", 1e6),
        ("1_500.25", 1500.25),
        (" 7 ", 7),
    ],
)
def test_numbers_may_be_written_as_traders_do(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "nan", "inf", "1e400", "much", "1k2", "1__0", "_1", "1_", "1 000", "0x10", "١"]
)
def test_what_is_no_number_above_0_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no number above 0"):
        number(text)


@pytest.mark.parametrize(("text", "size"), [("5e-324", "small"), ("1e308", "large"), ("1e15M", "large")])
def test_a_number_of_which_no_product_would_be_one_is_refused(text: str, size: str) -> None:
    with pytest.raises(UsageError, match=f"is too {size} a number"):
        number(text)


@pytest.mark.parametrize("text", ["1,500,250", "1,500,000", "10,050", "100,000", "12,300,300"])
def test_thousands_with_commas_are_refused_with_both_cures(text: str) -> None:
    with pytest.raises(UsageError, match="could be one number or several") as refused:
        numbers(text)
    assert refused.value.cure.startswith(f"{text.replace(',', '_')} or 1.5M for one number")


def test_a_list_that_could_only_be_one_is_read() -> None:
    assert numbers("2,5,10,25") == (2, 5, 10, 25)
    assert numbers("100,200,400") == (100, 200, 400)
    assert numbers("1,500") == (1, 500)
    assert numbers("10k, 1M", are_amounts=True) == (1e4, 1e6)
    with pytest.raises(UsageError, match="could be one number or several"):
        numbers("1,500", are_amounts=True)
    with pytest.raises(UsageError, match="is not one number"):
        number("1,2")


def test_names_are_split_at_commas_and_blanks_and_in_capitals() -> None:
    assert split_names([["btc-usdt-swap,", "ETH-USDT-SWAP"], "sol-usdt-swap xrp-usdt-swap", ["", ","]]) == [
        "BTC-USDT-SWAP",
        "ETH-USDT-SWAP",
        "SOL-USDT-SWAP",
        "XRP-USDT-SWAP",
    ]
    with pytest.raises(UsageError, match="'5' is no name"):
        split_names([5])


@pytest.mark.parametrize("read", [duration_ms, number, numbers])
@pytest.mark.parametrize("piece", ["1", "a", "1a", "1,", "_1", "\0", "1.", "1 "])
def test_an_absurd_length_is_refused_at_once_and_in_few_words(read, piece: str) -> None:
    began = time.process_time()
    with pytest.raises(UsageError) as refused:
        read(piece * 200_000 + "!")
    assert time.process_time() - began < 2
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(("inst_ids", "named"), [("", None), ([""], None), ([], [["", " , "]]), (None, [[""]])])
def test_words_without_a_name_are_no_way_to_say_all_instruments(inst_ids: object, named: object) -> None:
    """`l2vault archive "$INST"`, where the shell has no such variable."""
    with pytest.raises(UsageError, match="name of the instrument is empty"):
        asked_instruments(Namespace(inst_ids=inst_ids, named=named))
    assert asked_instruments(Namespace(inst_ids=None, named=None)) == []
    assert asked_instruments(Namespace(inst_ids=[], named=None)) == []

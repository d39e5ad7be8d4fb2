"""What a contract is worth, by the row that was valid at the time."""

import json

import numpy as np
import pytest

from l2vault.analytics.contract import Contract, ContractPeriod, contract_of, contract_periods
from l2vault.errors import VaultError
from l2vault.vault.store.instruments import keep_row, read_rows
from l2vault.vault.store.layout import Layout

BTC = {"ctType": "linear", "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC", "settleCcy": "USDT", "tickSz": "0.1"}
BTC_USD = {"ctType": "inverse", "ctVal": "100", "ctMult": "1", "ctValCcy": "USD", "settleCcy": "BTC", "tickSz": "0.1"}


def test_a_linear_contract_is_coin_and_its_notional_goes_with_the_price():
    contract = contract_of("BTC-USDT-SWAP", BTC | {"ctMult": "10"})
    assert contract == Contract("BTC-USDT-SWAP", False, 0.1, "BTC", "USDT", 0.1, 1)
    qty, price = np.array([3.0, 2.0]), np.array([60_000.0, 50_000.0])
    assert contract.sizes(qty, price, "contracts").tolist() == [3, 2]
    assert contract.sizes(qty, price, "coin") == pytest.approx([0.3, 0.2])
    assert contract.sizes(qty, price, "usd") == pytest.approx([18_000, 10_000])
    assert [contract.currency(unit) for unit in ("contracts", "coin", "usd")] == ["contracts", "BTC", "USDT"]


def test_an_inverse_contract_is_quote_currency_and_its_coin_goes_against_the_price():
    contract = contract_of("BTC-USD-SWAP", BTC_USD)
    assert contract == Contract("BTC-USD-SWAP", True, 100, "BTC", "USD", 0.1, 1)
    qty, price = np.array([3.0]), np.array([60_000.0])
    assert contract.sizes(qty, price, "usd").tolist() == [300]
    assert contract.sizes(qty, price, "coin") == pytest.approx([0.005])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"ctVal": ""}, "ctVal '', which is no number above 0"),
        ({"ctMult": None}, "ctMult None"),
        ({"tickSz": "0"}, "tickSz '0'"),
        ({"ctVal": "NaN"}, "ctVal 'NaN'"),
        ({"ctType": ""}, "ctType ''"),
        ({"ctType": ["linear"]}, r"ctType \['linear'\], which is no kind of swap"),
        ({"ctVal": "1e400"}, "ctVal '1e400', which no contract has"),
        ({"ctVal": "1e999999999", "ctMult": "1e999999999"}, "ctMult|ctVal"),
        ({"ctVal": "1e-400"}, "ctVal '1e-400', which no contract has"),
        ({"tickSz": "-0.1"}, "tickSz '-0.1', which is no number above 0"),
        ({"tickSz": "0.1\0"}, "tickSz"),
        ({"tickSz": ["0.1"]}, r"tickSz \['0.1'\]"),
        ({"tickSz": {"a": 1}}, "tickSz"),
        ({"tickSz": True}, "tickSz True"),
        ({"tickSz": float("inf")}, "tickSz inf"),
        ({"tickSz": 10**5000}, "tickSz of thousands of digits"),
        ({"ctVal": "1" * 100_000}, "ctVal"),
        ({"ctValCcy": ["BTC"]}, r"ctValCcy \['BTC'\], which is no name of a currency"),
        ({"settleCcy": "US\0DT"}, "settleCcy"),
        ({"settleCcy": 5}, "settleCcy 5"),
        ({"ctValCcy": "B\x1b[2J"}, "ctValCcy"),
    ],
)
def test_what_a_row_lacks_is_named(changed, says):
    with pytest.raises(VaultError, match=f"instrument row of BTC-USDT-SWAP has (?:{says})") as refused:
        contract_of("BTC-USDT-SWAP", BTC | changed)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 300


def test_numbers_in_place_of_text_are_read():
    assert contract_of("BTC-USDT-SWAP", BTC | {"ctVal": 0.01, "ctMult": 1}).value == 0.01


def test_without_a_row_the_error_says_how_to_get_one():
    with pytest.raises(
        VaultError, match="no instrument row of BTC-USDT-SWAP.*Try: l2vault record --inst BTC-USDT-SWAP"
    ):
        contract_periods("BTC-USDT-SWAP", [], (0, 10))


def test_each_part_of_a_span_has_the_row_that_was_valid_then():
    old, new = BTC | {"ctVal": "0.1"}, BTC
    rows = [(100, old), (200, old | {"lever": "50"}), (None, new)]
    terms = contract_periods("BTC-USDT-SWAP", rows, (50, 300))
    assert [(each.from_ms, each.to_ms, each.contract.value) for each in terms] == [(50, 200, 0.1), (200, 300, 0.01)]
    assert contract_periods("BTC-USDT-SWAP", rows, (0, 40)) == [
        ContractPeriod(0, 40, contract_of("BTC-USDT-SWAP", old))
    ]
    assert contract_periods("BTC-USDT-SWAP", rows, (250, 300))[0].contract.value == 0.01


def test_where_the_latest_row_does_not_read_the_last_one_known_counts():
    terms = contract_periods("BTC-USDT-SWAP", [(100, BTC)], (50, 300))
    assert [(each.from_ms, each.to_ms) for each in terms] == [(50, 300)]
    assert [(each.from_ms, each.to_ms) for each in contract_periods("BTC-USDT-SWAP", [(100, BTC)], (150, 300))] == [
        (150, 300)
    ]


def test_the_old_contract_holds_up_to_an_announced_time_and_the_new_one_from_it_on(tmp_path):
    layout, effective_ms = Layout(tmp_path), 1_790_000_000_000
    announced = {"param": "ctVal", "newValue": "0.1", "effTime": str(effective_ms)}
    keep_row(layout, "BTC-USDT-SWAP", json.dumps(BTC | {"upcChg": [announced]}).encode(), effective_ms - 86_400_000)
    keep_row(layout, "BTC-USDT-SWAP", json.dumps(BTC | {"ctVal": "0.1"}).encode(), effective_ms + 86_400_000)

    rows = read_rows(layout, "BTC-USDT-SWAP")
    terms = contract_periods("BTC-USDT-SWAP", rows, (effective_ms - 10, effective_ms + 10))

    assert [(each.from_ms - effective_ms, each.to_ms - effective_ms, each.contract.value) for each in terms] == [
        (-10, 0, 0.01),
        (0, 10, 0.1),
    ]

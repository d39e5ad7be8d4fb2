import json
from decimal import Decimal

import pytest

from l2vault.errors import UsageError
from l2vault.sim.exchange.instruments import instrument_row, known_inst_ids, popularity, reference_price
from support.captured import CAPTURES

REAL_ROW = CAPTURES / "okx-rest" / "instrument_BTC-USDT-SWAP_2026-09_single-row.json"

ALL = known_inst_ids(300)


@pytest.mark.skipif(not REAL_ROW.exists(), reason="no captures: set L2_CAPTURES to the folder of real OKX data")
def test_the_row_of_btc_usdt_swap_is_okx_s_own_key_for_key() -> None:
    [real] = json.loads(REAL_ROW.read_text(encoding="utf-8"))["data"]
    assert json.dumps(instrument_row("BTC-USDT-SWAP")) == json.dumps(real)


@pytest.mark.parametrize(
    ("inst_id", "expected"),
    [
        (
            "BTC-USDT-SWAP",
            {
                "ctType": "linear",
                "ctVal": "0.01",
                "ctValCcy": "BTC",
                "settleCcy": "USDT",
                "tickSz": "0.1",
                "lotSz": "0.01",
                "minSz": "0.01",
                "maxMktSz": "35000",
                "instIdCode": 10459,
                "floatPxLmtPct": "0.005",
                "maxPxLmtPct": "0.01",
            },
        ),
        (
            "ETH-USDT-SWAP",
            {
                "ctType": "linear",
                "ctVal": "0.1",
                "ctValCcy": "ETH",
                "settleCcy": "USDT",
                "tickSz": "0.01",
                "lotSz": "0.01",
                "minSz": "0.01",
                "maxMktSz": "90000",
                "instIdCode": 10461,
                "floatPxLmtPct": "0.01",
                "maxPxLmtPct": "0.02",
            },
        ),
        (
            "BTC-USD-SWAP",
            {
                "ctType": "inverse",
                "ctVal": "100",
                "ctValCcy": "USD",
                "settleCcy": "BTC",
                "tickSz": "0.1",
                "lotSz": "0.1",
                "minSz": "0.1",
                "maxMktSz": "49000",
                "instIdCode": 10458,
            },
        ),
    ],
)
def test_the_three_documented_rows_carry_okx_s_values(inst_id: str, expected: dict[str, object]) -> None:
    row = instrument_row(inst_id)
    assert {key: row[key] for key in expected} == expected


def test_every_row_has_okx_s_55_fields_in_order_and_agrees_with_its_name() -> None:
    for inst_id in [*ALL, "WIDGET-USDT-SWAP", "WIDGET-USD-SWAP", "WIDGET-USDC-SWAP"]:
        row = instrument_row(inst_id)
        base, quote, _ = inst_id.split("-")
        assert len(row) == 55
        assert list(row) == sorted(row)
        assert row["instId"] == inst_id
        assert row["instFamily"] == row["uly"] == f"{base}-{quote}"
        assert (row["instType"], row["state"], row["baseCcy"], row["quoteCcy"]) == ("SWAP", "live", "", "")
        kind = ("inverse", "USD", base) if quote == "USD" else ("linear", base, quote)
        assert (row["ctType"], row["ctValCcy"], row["settleCcy"]) == kind
        assert {key: type(value) for key, value in row.items() if not isinstance(value, str)} == {
            "futureSettlement": bool,
            "instIdCode": int,
            "tradeQuoteCcyList": list,
            "upcChg": list,
        }


def test_grids_are_plain_decimals_scaled_to_the_price() -> None:
    for inst_id in [*ALL, "WIDGET-USDT-SWAP", "WIDGET-USD-SWAP"]:
        row = instrument_row(inst_id)
        for key in ("tickSz", "lotSz", "ctVal"):
            assert str(row[key]).replace(".", "").isdigit(), (inst_id, key)
        tick, lot, contract = (Decimal(str(row[key])) for key in ("tickSz", "lotSz", "ctVal"))
        price = reference_price(inst_id)
        assert price % tick == 0, inst_id
        assert 10_000 <= price / tick <= 700_000, inst_id
        assert 10 <= (contract if row["ctType"] == "inverse" else contract * price) <= 1000, inst_id
        assert lot <= 1, inst_id


def test_the_list_starts_with_the_owner_s_two_instruments_and_repeats_no_name_or_code() -> None:
    assert known_inst_ids(2) == ["BTC-USDT-SWAP", "ETH-USDT-SWAP"]
    assert len(set(ALL)) == 300
    assert len({instrument_row(inst_id)["instIdCode"] for inst_id in ALL}) == 300
    assert known_inst_ids(7) == ALL[:7]


@pytest.mark.parametrize("count", [0, -1, 100_000])
def test_a_list_of_impossible_length_is_a_usage_error(count: int) -> None:
    with pytest.raises(UsageError, match=str(count)):
        known_inst_ids(count)


@pytest.mark.parametrize("inst_id", ["BTC-USDT", "btc-usdt-swap", "BTC-USD-220527", "-USDT-SWAP", ""])
def test_a_name_that_is_no_swap_is_a_usage_error(inst_id: str) -> None:
    with pytest.raises(UsageError, match="perpetual swap"):
        instrument_row(inst_id)
    with pytest.raises(UsageError, match="perpetual swap"):
        reference_price(inst_id)


def test_a_row_is_the_caller_s_own() -> None:
    row = instrument_row("BTC-USDT-SWAP")
    changes = row["upcChg"]
    assert isinstance(changes, list)
    changes.append("altered")
    row["state"] = "suspend"
    assert (instrument_row("BTC-USDT-SWAP")["upcChg"], instrument_row("BTC-USDT-SWAP")["state"]) == ([], "live")


def test_swaps_of_one_base_share_a_price_and_listed_ones_are_busier_from_the_top() -> None:
    assert reference_price("WIDGET-USDT-SWAP") == reference_price("WIDGET-USD-SWAP")
    assert reference_price("WIDGET-USDT-SWAP") != reference_price("GADGET-USDT-SWAP")
    assert [popularity(inst_id) for inst_id in ALL] == list(range(300))
    assert 20 <= popularity("WIDGET-USDT-SWAP") < 150

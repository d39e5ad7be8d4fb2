from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.sim.exchange.instruments import known_inst_ids
from l2vault.sim.exchange.market_shape import Grid, shape_of


@pytest.mark.parametrize(
    ("step", "count", "text"),
    [
        ("0.1", 642166, "64216.6"),
        ("0.1", 642230, "64223"),
        ("0.01", 513, "5.13"),
        ("0.01", 510, "5.1"),
        ("0.01", 3, "0.03"),
        ("1", 120, "120"),
        ("10", 12, "120"),
        ("0.00000001", 1565, "0.00001565"),
        ("0.000000001", 13052, "0.000013052"),
        ("0.5", 3, "1.5"),
    ],
)
def test_text_is_the_way_okx_writes_numbers(step: str, count: int, text: str) -> None:
    assert Grid(Decimal(step)).text(count) == text


@given(exponent=st.integers(-12, 2), unit=st.sampled_from([1, 2, 5]), count=st.integers(1, 10**9))
def test_text_is_exact_and_canonical(exponent: int, unit: int, count: int) -> None:
    step = Decimal(unit).scaleb(exponent)
    text = Grid(step).text(count)
    assert Decimal(text) == step * count
    assert text.replace(".", "", 1).isdigit()
    assert "." not in text or text[-1] not in "0."
    assert text[0] != "0" or text.startswith("0.")


def test_the_busiest_have_full_books_and_no_lulls_the_tail_has_short_books_and_lulls() -> None:
    shapes = [shape_of(inst_id) for inst_id in known_inst_ids(300)]
    assert {shape.levels for shape in shapes[:200]} == {480}
    assert all(60 <= shape.levels < 400 for shape in shapes[200:])
    assert {shape.lull_chance for shape in shapes[:150]} == {0.0}
    assert all(shape.lull_chance > 0 for shape in shapes[150:])


def test_less_traded_instruments_see_fewer_events_and_slower_sequence_numbers() -> None:
    shapes = [shape_of(inst_id) for inst_id in known_inst_ids(300)]
    assert shapes[0].seq_per_sec == 2000
    for earlier, later in zip(shapes, shapes[1:], strict=False):
        assert earlier.events > later.events
        assert earlier.seq_per_sec >= later.seq_per_sec >= 20

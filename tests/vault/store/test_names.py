"""What a person types for an instrument: the vault's own name in any case, else the nearest or what there is."""

import pytest

from l2vault.errors import VaultError
from l2vault.vault.store.names import held_instruments, one_of

HELD = ["BTC-USDT-SWAP", "ETH-USDT-SWAP", "SOL-USDT-SWAP"]


def test_a_name_is_the_vault_s_whatever_its_case():
    assert held_instruments(["eth-usdt-swap", "BTC-USDT-SWAP"], HELD) == ["ETH-USDT-SWAP", "BTC-USDT-SWAP"]


@pytest.mark.parametrize(
    ("asked", "held", "cure"),
    [
        ("ETH-USD-SWAP", HELD, "ETH-USDT-SWAP"),
        ("zzz", HELD, "one of BTC-USDT-SWAP, ETH-USDT-SWAP, SOL-USDT-SWAP"),
        ("zzz", [], "l2vault record"),
    ],
)
def test_a_name_that_the_vault_does_not_hold_is_refused_with_what_would_do(asked, held, cure):
    with pytest.raises(VaultError, match="the vault holds nothing of") as refused:
        held_instruments([asked], held)
    assert refused.value.cure == cure


def test_of_many_instruments_eight_are_named_and_the_others_counted():
    assert one_of([f"A{n}" for n in range(8)]) == "one of A0, A1, A2, A3, A4, A5, A6, A7"
    assert one_of([f"A{n}" for n in range(11)]) == "one of A0, A1, A2, A3, A4, A5, A6, A7 or 3 more: l2vault ls"

"""How sizes and shares are written."""

import pytest

from l2vault.analytics.figures import amount, percent


@pytest.mark.parametrize(
    ("value", "short", "padded"),
    [
        (30_902_411, "30.9 M", "30.9 M"),
        (6_000_000, "6 M", "6.00 M"),
        (951_765, "952 k", "952 k"),
        (999_600, "1 M", "1.00 M"),
        (100_000, "100 k", "100 k"),
        (-1_250, "-1.25 k", "-1.25 k"),
        (12.34, "12.3", "12.3"),
        (0, "0", "0.00"),
        (2.5e9, "2.5 B", "2.50 B"),
    ],
)
def test_three_figures_tell_a_size(value, short, padded):
    assert (amount(value), amount(value, is_padded=True)) == (short, padded)


@pytest.mark.parametrize(("share", "text"), [(1, "100 %"), (0.99999, "99.99 %"), (0.9083333, "90.83 %"), (0, "0 %")])
def test_what_is_not_all_is_never_a_hundred_percent(share, text):
    assert percent(share) == text

"""Names of columns and settings that changed with version 0.2, and their former ones. Pure; needs no library.

Both stand side by side in `--json`, `--csv` and the frames of `import l2vault` until 0.3, which drops this module.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    import polars as pl

FORMER: Final = {
    "covered_share": "vouched_share",
    "non_null_share": "told_share",
    "filled_at_touch_share": "eaten_share",
    "entered_view": "rolled_in",
    "left_view": "rolled_out",
    "visible_bps": "reach_bps",
    "bid_visible_bps": "bid_reach_bps",
    "ask_visible_bps": "ask_reach_bps",
    "t_first": "first_ms",
    "t_last": "last_ms",
    "is_width_given": "is_width_told",
}
"""The name, and its former one."""

_NEVER_IN_FRAMES: Final = {
    "covered_share",
    "non_null_share",
    "filled_at_touch_share",
    "t_first",
    "t_last",
    "is_width_given",
}
"""The public frames have had no other name for these."""

_Value = TypeVar("_Value")


def with_former(row: Mapping[str, _Value]) -> dict[str, _Value]:
    """The row, then what has a former name under that too.

    >>> with_former({"side": "bid", "entered_view": 2.0})
    {'side': 'bid', 'entered_view': 2.0, 'rolled_in': 2.0}
    """
    return {**row, **{FORMER[name]: value for name, value in row.items() if name in FORMER}}


def with_former_columns(frame: "pl.DataFrame", is_public_frame: bool = False) -> "pl.DataFrame":
    """The same for the columns of a frame; `is_public_frame`, for one that `import l2vault` gives."""
    never = _NEVER_IN_FRAMES if is_public_frame else set()
    named = [name for name in frame.columns if name in FORMER and name not in never]
    return frame.with_columns(frame[name].alias(FORMER[name]) for name in named)

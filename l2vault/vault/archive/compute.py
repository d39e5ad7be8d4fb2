"""`pyarrow.compute`, loaded when one of its functions is first asked for: it takes a tenth of the time in which a short
question is answered, and most questions do without it."""

from typing import Any


def __getattr__(name: str) -> Any:
    import pyarrow.compute

    return getattr(pyarrow.compute, name)

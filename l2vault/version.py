"""The version of this package, alone, so that whoever needs it loads nothing else."""

from typing import Final

__version__: Final = "0.2.0"

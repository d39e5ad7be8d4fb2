"""`python -m l2vault` is the installed `l2vault`."""

import sys

from l2vault.cli import main

if __name__ == "__main__":
    sys.exit(main())

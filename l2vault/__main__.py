"""`python -m l2vault` is the installed `l2vault`."""

import sys

try:
    from l2vault.entry import main

    if __name__ == "__main__":
        sys.exit(main())
except KeyboardInterrupt:  # before anything could be set up
    sys.exit(130)

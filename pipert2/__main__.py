"""``python -m pipert2``: the same as the command ``pipert2``."""

import sys

from pipert2.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

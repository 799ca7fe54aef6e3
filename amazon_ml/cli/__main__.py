"""``python -m amazon_ml.cli``, which is the same as ``amazon-ml``."""

import sys

from amazon_ml.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

"""Run ``amazon-ml`` as ``python -m amazon_ml.cli``."""

import sys

from amazon_ml.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

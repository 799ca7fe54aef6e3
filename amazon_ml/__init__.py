"""Tag satellite tiles: from a folder of images to an honest F2 and a Kaggle submission."""

import os

__version__ = "0.1.0"

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # at import it would ask the network for a newer release

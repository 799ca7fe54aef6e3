"""Tag satellite tiles: from a folder of images to an honest F2 and a Kaggle submission."""

__version__ = "0.1.0"

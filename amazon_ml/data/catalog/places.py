"""Finds files and folders that options name by a relative path."""

from pathlib import Path


def find_place(text: str, root: Path) -> Path:
    """Find what an option names: in the current folder, or else in the folder of tiles.

    Parameters
    ----------
    text
        The path.
    root
        Folder of the tiles.

    Returns
    -------
    The first of both that exists, else the path as it was given, so that its reader reports that it is missing.
    """
    return next((place for place in (Path(text), root / text) if place.exists()), Path(text))

"""From an image file to an array: formats, bands, limits of values, damage."""

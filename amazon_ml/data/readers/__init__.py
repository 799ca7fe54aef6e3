"""Reads image files into arrays: formats, bands, limits of values, damaged files."""

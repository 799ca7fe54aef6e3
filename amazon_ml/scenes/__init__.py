"""Scenes: from georeferenced rasters to maps of tags, and what changed between two dates."""

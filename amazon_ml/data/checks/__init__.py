"""Checks of a folder of tiles before training: they list all faults at once."""

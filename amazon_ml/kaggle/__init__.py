"""Kaggle: downloads, and submissions in its format."""

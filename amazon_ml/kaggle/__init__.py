"""Submissions in the form that Kaggle takes."""

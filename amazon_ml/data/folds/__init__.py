"""Folds: the split of the tiles for cross-validation, and checks of how independent its parts are."""

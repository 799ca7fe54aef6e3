"""Fitting: one fold, its callbacks and loggers, how it is launched, and the finders of its options."""

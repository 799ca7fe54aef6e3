"""Benchmarks against plain baselines on one machine: ratios can be compared between machines, times cannot."""

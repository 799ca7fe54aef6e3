"""Files, locks, processes, signals and memory; nothing here depends on tiles."""

"""What knows nothing of tiles: files, locks, processes, signals, memory."""

"""What lies on disk, up to batches."""

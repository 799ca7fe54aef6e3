"""Training of one fold: trainer, callbacks, loggers, launch of processes."""

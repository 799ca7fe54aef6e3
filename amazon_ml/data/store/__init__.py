"""The packed store: every tile decoded once, in one array."""

"""What the command line prints: a module a kind of result, each from plain results to tables of text."""

"""Print results as tables of text: a module for each kind of result."""

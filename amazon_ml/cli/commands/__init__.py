"""The verbs, a module a group of them: each parses nothing, calls one function of the library, and prints."""

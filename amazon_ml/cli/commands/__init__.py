"""Functions of verbs that call more than one function of the library, or ask a person something."""

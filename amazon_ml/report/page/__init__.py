"""The page of a run, ``report.html``: a module a section, each from plain results to HTML."""

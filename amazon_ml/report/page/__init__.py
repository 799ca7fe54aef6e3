"""The page of a run, ``report.html``: a module for each section turns results into HTML."""

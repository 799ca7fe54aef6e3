"""What the pages have in common: one HTML file that needs no other file and no network."""

from html import escape

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem auto; max-width: 78rem; padding: 0 1rem; }}
{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def html_page(title: str, body: str, style: str = "") -> str:
    """Make a page.

    Parameters
    ----------
    title
        Plain text.
    body, style
        HTML and CSS as they are to stand there, the former escaped where it needs to be.
    """
    return _PAGE.format(title=escape(title), body=body, style=style)

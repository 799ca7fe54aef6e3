"""The document around the sections: one style, one script, and a policy that nothing else is loaded or run."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

#: Text is escaped unless the template calls it safe, as it does with the HTML of the sections.
_PAGES = Environment(
    loader=PackageLoader("amazon_ml.report", "page"),
    autoescape=True,
    undefined=StrictUndefined,
    keep_trailing_newline=True,
)
_OWN = ("page.css", "page.js")


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Parameters
    ----------
    anchor
        Its ``id``, by which the table of contents links to it.
    title
        Plain text.
    body
        HTML.
    """

    anchor: str
    title: str
    body: str


def document(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Put a page together.

    Parameters
    ----------
    title
        Plain text.
    lead
        HTML between the title and the table of contents.
    sections
        In their order; a single one goes without a table of contents.

    Returns
    -------
    A whole HTML document. It loads nothing, and its policy forbids all scripts but its own.
    """
    style, script = (files("amazon_ml.report.page").joinpath(name).read_text("utf-8") for name in _OWN)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return _PAGES.get_template("page.html.j2").render(
        title=title, lead=lead, sections=sections, style=style, script=script, script_hash=digest
    )

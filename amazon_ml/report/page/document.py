"""The document around the sections: its style, its script, and a policy against all other files and scripts."""

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
        Its ``id``, for links of the table of contents.
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
        Sections in their order; a single one has no table of contents.

    Returns
    -------
    A complete HTML document. It loads no other file, and its policy forbids all scripts but its own.
    """
    style, script = (files("amazon_ml.report.page").joinpath(name).read_text("utf-8") for name in _OWN)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return _PAGES.get_template("page.html.j2").render(
        title=title, lead=lead, sections=sections, style=style, script=script, script_hash=digest
    )

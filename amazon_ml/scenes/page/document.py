"""The document of a map page: Leaflet, the page's own style and script, and a policy against all other files."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from amazon_ml.scenes.page.embed import json_text

#: Text is escaped unless the template calls it safe: styles, scripts and JSON.
_PAGES = Environment(
    loader=PackageLoader("amazon_ml.scenes", "page"), autoescape=True, undefined=StrictUndefined,
    keep_trailing_newline=True,
)  # fmt: skip
#: The end of Leaflet's script names a file for debuggers, which a page in one file does not have.
_SOURCE_MAP = "//# sourceMappingURL=leaflet.js.map"


def document(title: str, content: Mapping[str, object], notes: Sequence[str]) -> str:
    """Put a page together.

    Parameters
    ----------
    title
        Plain text.
    content
        What the script draws.
    notes
        Sentences about the map, plain text; what stands between backticks is shown as code.

    Returns
    -------
    A complete HTML document. It loads no other file, and its policy forbids all scripts but its own.
    """
    leaflet = _read("leaflet/leaflet.js").removesuffix(_SOURCE_MAP)
    scripts = [leaflet, _read("map.js")]
    return _PAGES.get_template("map.html.j2").render(
        title=_plain(title), notes=[_plain(note).split("`") for note in notes], changes=content["kind"] == "changes",
        styles=[_read("leaflet/leaflet.css"), _read("map.css")], scripts=scripts, hashes=[*map(_hash, scripts)],
        licence=_read("leaflet/LICENSE"), data=json_text(content),
    )  # fmt: skip


def _read(name: str) -> str:
    """Read a file of this folder; line ends become those that a browser computes hashes with."""
    return files("amazon_ml.scenes.page").joinpath(name).read_text("utf-8")


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _plain(text: str) -> str:
    """Replace what UTF-8 cannot hold: names of files may be any bytes."""
    return text.encode("utf-8", "replace").decode("utf-8")

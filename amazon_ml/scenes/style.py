"""Styles of QGIS (QML): rectangles coloured by a column of probabilities."""

from itertools import pairwise
from xml.sax.saxutils import quoteattr

#: Limits of the classes, and their colours: light to dark, readable without telling red from green.
_LIMITS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_COLOURS = ("255,255,217", "199,233,180", "127,205,187", "65,182,196", "34,94,168", "8,29,88")
_ALPHA = 170


def column_style(column: str) -> str:
    """Make the style that colours rectangles by a column of probabilities; those without one are not drawn."""
    ranges = "".join(
        f'<range lower="{low}" upper="{high}" symbol="{at}" label="{low:g} to {high:g}" render="true"/>'
        for at, (low, high) in enumerate(pairwise(_LIMITS))
    )
    symbols = "".join(_symbol(at, colour) for at, colour in enumerate(_COLOURS))
    attribute = quoteattr('"' + column.replace('"', '""') + '"')
    return (
        '<!DOCTYPE qgis PUBLIC "http://mrcc.com/qgis.dtd" "SYSTEM">'
        '<qgis version="3.16" styleCategories="Symbology">'
        f'<renderer-v2 type="graduatedSymbol" attr={attribute} graduatedMethod="GraduatedColor" symbollevels="0" '
        f'enableorderby="0" forceraster="0"><ranges>{ranges}</ranges><symbols>{symbols}</symbols></renderer-v2>'
        "<layerGeometryType>2</layerGeometryType></qgis>"
    )


def _symbol(at: int, colour: str) -> str:
    """Make a filled area with a thin border; newer releases of QGIS read ``Option``, older ones ``prop``."""
    values = {"color": f"{colour},{_ALPHA}", "outline_color": "120,120,120,90", "outline_width": "0.1",
              "outline_style": "solid", "style": "solid"}  # fmt: skip
    options = "".join(f'<Option type="QString" name="{name}" value="{value}"/>' for name, value in values.items())
    props = "".join(f'<prop k="{name}" v="{value}"/>' for name, value in values.items())
    return (
        f'<symbol type="fill" name="{at}" alpha="1" clip_to_extent="1" force_rhr="0"><layer class="SimpleFill" '
        f'pass="0" locked="0" enabled="1"><Option type="Map">{options}</Option>{props}</layer></symbol>'
    )

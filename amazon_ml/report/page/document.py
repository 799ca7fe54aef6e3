"""The document around the sections: its style, its script, and a policy against all other files and scripts."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1f2328; --faint: #59636e; --line: #d1d9e0; --shade: #f3f5f7;
  --blue: #0a5fb4; --orange: #b35900;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161b; --ink: #e6e9ed; --faint: #9aa5b1; --line: #39424d; --shade: #1c2229;
    --blue: #6cb6ff; --orange: #f0a050;
  }
}
* { box-sizing: border-box; }
body {
  background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  font-variant-numeric: tabular-nums; margin: 2rem auto 4rem; max-width: 60rem; padding: 0 1rem;
}
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { border-top: 1px solid var(--line); font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: 1.5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .5rem 0; max-width: 44rem; }
a { color: var(--blue); }
nav ul { columns: 13rem; list-style: none; margin: 1rem 0; padding: 0; }
code, pre { font: .85em/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: var(--shade); border-radius: 4px; padding: .75rem; white-space: pre-wrap; }
.note { color: var(--faint); font-size: .875rem; }
.warning { border-left: 4px solid var(--orange); font-weight: 600; padding-left: .75rem; }
.headline { font-size: 3rem; font-weight: 650; line-height: 1.1; margin: 1rem 0 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; margin: 1rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; }
td.number, th.number { text-align: right; }
td.number { white-space: nowrap; }
thead th { color: var(--faint); font-weight: 600; vertical-align: bottom; }
tbody th { background: var(--paper); font-weight: 400; left: 0; min-width: 7.5rem; position: sticky; }
th button {
  background: none; border: 0; color: inherit; cursor: pointer; font: inherit; padding: 0; text-align: inherit;
}
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
.bar { background: var(--shade); display: block; height: 4px; margin-top: 2px; min-width: 3.5rem; }
.bar i { background: var(--blue); display: block; height: 100%; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(var(--cell), 100%), 1fr)); }
figure { margin: 0; }
figcaption { font-size: .8125rem; line-height: 1.35; overflow-wrap: anywhere; }
figure img {
  aspect-ratio: 1; border-radius: 4px; display: block; margin-bottom: .3rem; object-fit: contain; width: 100%;
}
.card { border: 1px solid var(--line); border-radius: 6px; padding: .6rem; }
.pair { display: grid; gap: .3rem; grid-template-columns: 1fr 1fr; }
.doubted { color: var(--orange); font-weight: 600; }
.missing { color: var(--blue); font-weight: 600; }
details { border-bottom: 1px solid var(--line); padding: .4rem 0; }
summary { cursor: pointer; }
svg { display: block; height: auto; max-width: 100%; width: 100%; }
svg text { fill: var(--faint); font: 11px system-ui, sans-serif; }
svg .grid-line { stroke: var(--line); stroke-width: 1; }
svg .blue { stroke: var(--blue); } svg .orange { stroke: var(--orange); }
svg polyline { fill: none; stroke-linejoin: round; stroke-width: 1.75; }
svg polyline.orange, svg line.orange { stroke-dasharray: 5 3; }
svg .faint { stroke: var(--faint); stroke-dasharray: 2 3; }
svg circle, svg rect.cell { fill: var(--blue); stroke: none; }
svg circle.orange { fill: var(--orange); }
svg .area { fill: var(--orange); fill-opacity: .18; stroke: none; }
svg .interval { fill: var(--blue); fill-opacity: .35; } svg .mean { fill: var(--blue); }
svg.strip { min-width: 9rem; }
@media print {
  body { font-size: 10pt; margin: 0; max-width: none; }
  nav, th button::after { display: none; }
  figure, svg, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  tbody th { position: static; }
}
"""

#: Sorts a table by the values of a column, the highest first; without scripts, tables have their own order.
SCRIPT = """
for (const heading of document.querySelectorAll("table.sortable thead th")) {
  const button = document.createElement("button");
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => {
    const down = heading.getAttribute("aria-sort") !== "descending";
    const body = heading.closest("table").tBodies[0];
    const key = row => row.cells[heading.cellIndex].dataset.sort;
    const order = (a, b) => a - b || (isNaN(a - b) ? a.localeCompare(b) : 0);
    const rows = [...body.rows].sort((a, b) => (down ? -1 : 1) * order(key(a), key(b)));
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
  });
}
"""


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
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    links = "\n".join(f'<li><a href="#{one.anchor}">{escape(one.title)}</a></li>' for one in sections)
    contents = f'<nav aria-label="Contents"><ul>\n{links}\n</ul></nav>' if len(sections) > 1 else ""
    parts = "\n".join(
        f'<section id="{one.anchor}">\n<h2>{escape(one.title)}</h2>\n{one.body}\n</section>' for one in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
{lead}
{contents}
</header>
<main>
{parts}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""

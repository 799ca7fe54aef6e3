"""Section on provenance: commands, versions, hashes, and all options."""

from collections.abc import Mapping
from html import escape

import yaml

from amazon_ml.report.page.document import Section
from amazon_ml.report.page.html import paragraph, table, words
from amazon_ml.report.page.results import Results
from amazon_ml.runs.blend import options_of
from amazon_ml.runs.hashes import read_recorded


def provenance_section(results: Results) -> Section:
    """List what is needed to make the run again."""
    provenance = results.run.read_provenance()
    starts = "".join(
        f"<li>{escape(str(start['time']))}<br><code>{escape(str(start['command']))}</code></li>"
        for start in provenance["starts"]
    )
    hidden = ("starts", "data.tags", "folds.sizes")
    plain = [(key, value) for key, value in _flat(provenance) if not key.startswith(hidden)]
    rows = [[words(key), words("" if value is None else str(value))] for key, value in plain]
    text, source = results.run.config.read_text(encoding="utf-8"), "config.yaml: all options"
    if results.run.blend.exists():
        text, source = yaml.safe_dump(options_of(results.run), sort_keys=False, allow_unicode=True), "All options"
    body = [
        paragraph("The run was started by:"),
        f"<ol>{starts}</ol>",
        table(("key", "value"), rows),
        f"<details><summary>{source}</summary><pre>{escape(text)}</pre></details>",
    ]
    if results.run.blend.exists():
        members = [str(one["path"]) for one in read_recorded(results.run.blend)["members"]]
        body.insert(0, paragraph(f"A blend of {escape(', '.join(members))}."))
    return Section("provenance", "Provenance", "\n".join(body))


def _flat(content: Mapping[str, object], before: str = "") -> list[tuple[str, object]]:
    """List nested values, with their keys joined by dots."""
    flat: list[tuple[str, object]] = []
    for key, value in content.items():
        flat += _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else [(f"{before}{key}", value)]
    return flat

"""Where the run comes from: commands, versions, hashes, and all that was asked."""

from collections.abc import Mapping
from html import escape
from typing import Any

from amazon_ml.report.page.document import Section
from amazon_ml.report.page.html import paragraph, table, words
from amazon_ml.report.page.results import Results
from amazon_ml.runs.hashes import read_recorded


def provenance_section(results: Results) -> Section:
    """Tell enough to make the run again."""
    facts = results.run.read_provenance()
    starts = "".join(
        f"<li>{escape(str(start['time']))}<br><code>{escape(str(start['command']))}</code></li>"
        for start in facts["starts"]
    )
    plain = [(key, value) for key, value in _flat(facts) if not key.startswith(("starts", "data.tags", "folds.sizes"))]
    rows = [[words(key), words("" if value is None else str(value))] for key, value in plain]
    asked = escape(results.run.config.read_text(encoding="utf-8"))
    body = [
        paragraph("The run was started by:"),
        f"<ol>{starts}</ol>",
        table(("fact", "value"), rows),
        f"<details><summary>config.yaml: all that was asked</summary><pre>{asked}</pre></details>",
    ]
    if results.run.blend.exists():
        members = [str(one["path"]) for one in read_recorded(results.run.blend)["members"]]
        body.insert(0, paragraph(f"A blend of {escape(', '.join(members))}."))
    return Section("provenance", "Provenance", "\n".join(body))


def _flat(facts: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """List nested facts, their keys joined by dots."""
    flat: list[tuple[str, Any]] = []
    for key, value in facts.items():
        flat += _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else [(f"{before}{key}", value)]
    return flat

"""The list and the page of an audit, where they are of former probabilities or labels."""

import logging
from pathlib import Path

from amazon_ml.data.config import DataConfig
from amazon_ml.errors import InputError
from amazon_ml.runs.folder import Run
from amazon_ml.runs.hashes import changed_sources, is_edited, is_recorded, is_unchanged, remove

log = logging.getLogger(__name__)


def clear_audit(run: Run) -> None:
    """Remove the page of an audit of former probabilities or labels, unless a person made or edited it.

    The list stays, with a warning: another run may have been trained with it, and reads it whenever it goes on.
    """
    for file in (run.audit, run.audit_page):
        if not file.is_file() or is_unchanged(file):
            continue
        if file == run.audit_page and is_recorded(file) and not is_edited(file):
            remove(file)
            log.warning("removed %s: it was of former probabilities or labels; amazon-ml audit %s writes it anew", file,
                        run.path)  # fmt: skip
        elif changed_sources(file) or not is_recorded(file):
            log.warning("%s is left as it is, though it may be of former probabilities or labels", file)


def warn_of_former_lists(data: DataConfig) -> None:
    """Warn where tiles are left out, or labels softened, by the audit of a run that has changed since then."""
    for option, table in (("data.exclude", data.exclude), ("data.soft_labels", data.soft_labels)):
        try:
            changed = [] if table is None else changed_sources(Path(table))
        except (InputError, OSError) as error:  # a file of another run cannot be read; training does not need it
            log.warning("`%s` %s cannot be compared with what it was made of: %s", option, table, error)
            continue
        if changed:
            log.warning("`%s` %s was made before %s changed", option, table, " and ".join(map(str, changed)))

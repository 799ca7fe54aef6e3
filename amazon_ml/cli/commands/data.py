"""The verb ``data check``; the other verbs of ``data`` are functions of the library, see `amazon_ml.cli.verbs`."""

import os
from pathlib import Path

from amazon_ml.data.config import READING, ReadingConfig


def check(
    folder: Path, reading: ReadingConfig = READING, *, n_folds: int = 5, examples: int = 3,
    num_workers: int | None = None, json: Path | None = None, write_exclude: Path | None = None,
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Find faults in a folder of tiles that would spoil training.

    Faults end with status 1; remarks do not.

    Parameters
    ----------
    folder
        Folder of tiles, in any layout that training reads, complete or not.
    reading
        How training will read the table and the tiles.
    n_folds
        Number of folds for training, which needs as many tiles.
    examples
        Number of cases of each kind that are shown; the JSON holds all.
    num_workers
        Threads; by default one for each core.
    json
        File for all findings.
    write_exclude
        CSV to write, for `data.exclude`: the names of tagged tiles with faults.
    overwrite
        Replace existing files.

    Raises
    ------
    WorkError
        Where there are faults.
    """
    from dataclasses import asdict

    import pandas as pd

    from amazon_ml.cli.show.findings import print_check
    from amazon_ml.data.catalog.layout import find_layout
    from amazon_ml.data.catalog.nearby import tables_around
    from amazon_ml.data.checks.check import check, check_faults
    from amazon_ml.errors import check_least
    from amazon_ml.runtime.files import write_json, write_table
    from amazon_ml.runtime.outputs import check_outputs

    check_least("examples", examples, 1)
    check_least("num_workers", num_workers, 1)
    outputs = {"json": json, "write_exclude": write_exclude}
    if any(outputs.values()):
        exclude = None if reading.exclude is None else Path(reading.exclude)
        check_outputs(outputs, [*find_layout(folder, reading).table_paths, exclude, *tables_around(folder)],
                      overwrite=overwrite)  # fmt: skip
    report = check(folder, reading, n_folds=n_folds, num_workers=num_workers or os.cpu_count() or 1)
    print_check(report, folder, examples)
    if json is not None:
        write_json(json, asdict(report))
    if write_exclude is not None:
        write_table(write_exclude, pd.DataFrame(report.exclude.items(), columns=["image_name", "reason"]))
    check_faults(folder, report)

"""The verbs, a module a group of them, and the table of all.

A verb is an entry of its module's table: the function of the library that does the work, and the function of
`amazon_ml.cli.show` that prints what it gives. Where a verb does more than that, its function stands below the table.
"""

from amazon_ml.cli.commands import bench, data, run, slurm, submit, train
from amazon_ml.cli.verb import Verb

VERBS: dict[str, Verb] = {
    name: verb for group in (data, train, run, submit, slurm, bench) for name, verb in group.VERBS.items()
}

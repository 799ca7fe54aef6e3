"""The verbs: a module for each group, and the table of all of them.

A verb is an entry in the table of its module: the function of the library that does the work, and the function of
`amazon_ml.cli.show` that prints its result. Where a verb does more than that, its function is below the table.
"""

from amazon_ml.cli.commands import bench, data, run, slurm, submit, train
from amazon_ml.cli.verb import Verb

VERBS: dict[str, Verb] = {
    name: verb for group in (data, train, run, submit, slurm, bench) for name, verb in group.VERBS.items()
}

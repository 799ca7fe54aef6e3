"""The verbs of the command line: one table of all.

A verb is an entry: the function that does the work, and the function of `amazon_ml.cli.show` that prints what it
gives. The first is one of the library, or, where a verb calls several, one of `amazon_ml.cli.commands`. Nothing is
imported before the verb is called.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """Something the command line can do.

    Parameters
    ----------
    target
        ``module:function``, imported only when the verb is called. Options and their help come from its signature
        and docstring: a function of the library, or one beside the verb where it calls several.
    summary
        One line for ``amazon-ml --help``.
    positionals
        Parameters that are given by place; all others are options.
    show
        ``module:function`` that prints what the target gives.
    """

    target: str
    summary: str
    positionals: tuple[str, ...] = ()
    show: str | None = None


_SCORES = "amazon_ml.cli.show.scores:print_scores"

VERBS = {
    "data demo": Verb(
        "amazon_ml.data.demo.demo:write_demo", "draw generated tiles in the competition's layout", ("folder",)
    ),
    "data download": Verb(
        "amazon_ml.kaggle.download:download", "fetch tiles and tables from Kaggle; resumes", ("folder",)
    ),
    "data check": Verb("amazon_ml.cli.commands.data:check", "find faults that would spoil training", ("folder",)),
    "data folds": Verb(
        "amazon_ml.data.folds.examine:examine_folds", "make or examine folds: tags, tiles that touch", ("folder",),
        show="amazon_ml.cli.show.folds:print_folds",
    ),
    "data pack": Verb(
        "amazon_ml.data.store.pack:pack_folder", "decode every tile once, into one array for fast reading",
        ("folder",),
    ),
    "data copy": Verb(
        "amazon_ml.data.store.copy:copy_store", "copy a packed store to a faster disk, once", ("store", "copy")
    ),
    "train": Verb("amazon_ml.cli.commands.train:train", "fit, predict held-out tiles, tune, score, tag; resumes"),
    "find lr": Verb("amazon_ml.cli.commands.train:find_lr", "sweep the learning rate, suggest one; options of train"),
    "find batch": Verb("amazon_ml.cli.commands.train:find_batch", "measure speed by batch size; options of train"),
    "gather": Verb(
        "amazon_ml.pipeline.gather:gather", "join folds that were trained separately, and finish the run", ("run",),
        show=_SCORES,
    ),
    "blend": Verb(
        "amazon_ml.pipeline.blend:blend", "make one run of several: average, weigh or stack them", ("runs",),
        show=_SCORES,
    ),
    "tune": Verb("amazon_ml.runs.tune:tune", "compare decision rules, and store one", ("run",), show=_SCORES),
    "evaluate": Verb(
        "amazon_ml.runs.evaluate:evaluate", "score a run or bundle on another labelled folder", ("run",),
        show=_SCORES,
    ),
    "compare": Verb(
        "amazon_ml.report.comparison:compare", "compare runs: paired differences, or noise", ("runs",),
        show="amazon_ml.cli.show.comparison:print_comparison",
    ),
    "predict": Verb("amazon_ml.runs.predict:predict_tiles", "tag a folder of tiles", ("run",)),
    "merge": Verb("amazon_ml.runs.shards:merge", "join the parts of a prediction in shards", ("parts",)),
    "scene predict": Verb(
        "amazon_ml.scenes.predict:tag_scene", "tag a georeferenced scene: a map of tags, and their areas", ("run",),
        show="amazon_ml.cli.show.scenes:print_areas",
    ),
    "scene merge": Verb(
        "amazon_ml.scenes.shards:merge_scene", "join the shards of a scene to its map", ("out",),
        show="amazon_ml.cli.show.scenes:print_areas",
    ),
    "scene compare": Verb(
        "amazon_ml.scenes.compare:compare_scenes", "find where tags appeared or went between two dates",
        ("before", "after"), show="amazon_ml.cli.show.scenes:print_changes",
    ),
    "scene cut": Verb(
        "amazon_ml.scenes.cut:cut_scene", "cut tagged tiles out of a scene, by points or polygons with tags",
        ("scene",), show="amazon_ml.cli.show.scenes:print_cut",
    ),
    "scene demo": Verb(
        "amazon_ml.scenes.demo:write_scenes", "paint a scene, and a later one with clearings; with the truth",
        ("folder",),
    ),
    "report": Verb("amazon_ml.report.page.write:report", "write the page of a run, report.html", ("run",)),
    "export": Verb("amazon_ml.runs.export:export", "write a run's bundle again, or its networks as ONNX", ("run",)),
    "accept": Verb("amazon_ml.runs.accept:accept", "accept files of a run that a person changed", ("run",)),
    "audit": Verb("amazon_ml.report.audit:audit", "list the tags that a run's networks contradict", ("run",)),
    "submit make": Verb("amazon_ml.kaggle.make:make_submission", "write a run's submission.csv", ("run",)),
    "submit lint": Verb("amazon_ml.cli.commands.submit:lint", "find what Kaggle would refuse", ("file",)),
    "submit diff": Verb(
        "amazon_ml.kaggle.diff:diff_submissions", "compare two submissions, tag by tag", ("a", "b"),
        show="amazon_ml.cli.show.submission:print_diff",
    ),
    "submit send": Verb("amazon_ml.cli.commands.submit:send", "send one to Kaggle, check that it arrives", ("file",)),
    "submit scores": Verb("amazon_ml.cli.commands.submit:scores", "fetch scores of what was sent of a run", ("run",)),
    "slurm train": Verb("amazon_ml.cli.commands.slurm:train", "train on a cluster, a task per fold; options of train"),
    "slurm predict": Verb(
        "amazon_ml.slurm.predict:predict_jobs", "tag many tiles on a cluster, a task per shard", ("run",)
    ),
    "slurm scene": Verb("amazon_ml.slurm.scene:scene_jobs", "tag a scene on a cluster, a task per shard", ("run",)),
    "slurm status": Verb(
        "amazon_ml.slurm.status:status", "show the states of the jobs", ("run",),
        show="amazon_ml.cli.show.jobs:print_jobs",
    ),
    "bench": Verb(
        "amazon_ml.bench.bench:bench", "measure against plain baselines on this machine",
        show="amazon_ml.cli.show.bench:print_bench",
    ),
}  # fmt: skip

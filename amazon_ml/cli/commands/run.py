"""Verbs for runs: ``gather``, ``blend``, ``tune``, ``evaluate``, ``predict`` and others."""

from amazon_ml.cli.verb import Verb

_SCORES = "amazon_ml.cli.show.scores:print_scores"

VERBS = {
    "gather": Verb(
        "amazon_ml.pipeline.finish:gather", "join folds that were trained separately, and finish the run", ("run",),
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
    "report": Verb("amazon_ml.report.page.write:report", "write the page of a run, report.html", ("run",)),
    "export": Verb("amazon_ml.runs.export:export", "write a run's bundle again, or its networks as ONNX", ("run",)),
    "accept": Verb("amazon_ml.runs.accept:accept", "accept files of a run that a person changed", ("run",)),
    "audit": Verb("amazon_ml.report.audit:audit", "list the tags that a run's networks contradict", ("run",)),
}  # fmt: skip

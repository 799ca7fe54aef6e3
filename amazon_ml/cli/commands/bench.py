"""The verb ``bench``: measure speed on this machine."""

from amazon_ml.cli.verb import Verb

VERBS = {
    "bench": Verb(
        "amazon_ml.bench.bench:bench", "measure against plain baselines on this machine",
        show="amazon_ml.cli.show.bench:print_bench",
    ),
}  # fmt: skip

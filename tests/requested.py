"""What the command line makes of words, without running the verb."""

from collections.abc import Sequence

from amazon_ml.cli.commands.train import train
from amazon_ml.cli.signature import arguments_of, parser_of
from amazon_ml.runs.config import RunConfig


def config_of(words: Sequence[str]) -> RunConfig:
    """Give the configuration that ``amazon-ml train`` would run with."""
    config = arguments_of("train", train, (), words)["config"]
    assert isinstance(config, RunConfig)
    return config


TRAIN_PARSER = parser_of("train", train, ())

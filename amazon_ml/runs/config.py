"""The configuration of a run: all options of `train`, as one typed value."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from amazon_ml.data.config import DataConfig
from amazon_ml.errors import InputError
from amazon_ml.models.config import ModelConfig
from amazon_ml.runs.trainer import TrainerConfig
from amazon_ml.runtime.yaml_files import read_yaml
from amazon_ml.settings import PathText, build, settings

#: Options that hold further options.
_SECTIONS = {"data", "model", "trainer"}
_Fold = Annotated[int, Field(ge=0)]
#: One fold is a list of one.
_Folds = Annotated[
    Literal["all"] | _Fold | list[_Fold], AfterValidator(lambda one: [one] if isinstance(one, int) else one)
]


@settings
class RunConfig:
    """All options of a run.

    Parameters
    ----------
    data
        Options of the tiles; see `DataConfig`.
    model
        Options of the network; see `ModelConfig`.
    trainer
        Options of training; see `TrainerConfig`.
    run
        Run folder (default: ``runs/`` and the name of the last configuration).
    folds
        Folds to train a network for, each held out once: one, a list, or ``all``; processes at work on other folds
        of the run do not disturb each other.
    seed
        Seed of folds, order, augmentation and weights.
    beta
        Weight of recall in the F-beta that thresholds are tuned for.
    loggers
        Logging services beside CSV and TensorBoard, ``wandb`` or ``mlflow``, with arguments of Lightning's logger.

    Examples
    --------
    >>> config = RunConfig.load("demo", {"data.size": 128})
    >>> config.data.size, config.run
    (128, 'runs/demo')
    """

    data: DataConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    run: PathText | None = None
    folds: _Folds = field(default_factory=lambda: [0])
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    beta: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0
    loggers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(
        cls, source: str | Path | Sequence[str | Path], overrides: Mapping[str, object] | None = None
    ) -> "RunConfig":
        """Read a configuration.

        Parameters
        ----------
        source
            Name of a configuration that comes with the package, such as ``demo``, or a YAML file; of several, later
            ones win.
        overrides
            Dotted name of an option to its value, such as ``{"data.size": 128}``; these win over all files.

        Returns
        -------
        RunConfig
            With all options, checked.

        Raises
        ------
        InputError
            With the file or the option that is wrong.
        """
        sources = [source] if isinstance(source, str | Path) else list(source)
        values: dict[str, Any] = {"run": default_run(sources)}
        for path in map(find_config, sources):
            _merge(values, read_sections(path))
        for option, value in (overrides or {}).items():
            section, dot, name = option.partition(".")
            _merge(values, {section: {name: value}} if dot else {section: value})
        return build(cls, values)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.run or default_run([]))

    def folds_of(self, there: Sequence[int]) -> list[int]:
        """Pick the folds to train, rising, out of those that there are.

        Raises
        ------
        InputError
            Where one is not there.
        """
        asked = [self.folds] if isinstance(self.folds, int) else self.folds
        chosen = list(there) if asked == "all" else sorted(set(asked))
        if not chosen or not set(chosen) <= set(there):
            raise InputError(f"`folds` {self.folds}: there are the folds {list(there)}; folds are counted from 0")
        return chosen


def default_run(sources: Sequence[str | Path]) -> str:
    """Name the run folder after the last configuration."""
    return f"runs/{Path(sources[-1]).stem if sources else 'default'}"


def find_config(source: str | Path) -> Path:
    """Find a configuration: a file, or one that comes with the package, by its name without the ending.

    Raises
    ------
    InputError
        Where there is neither.
    """
    path = Path(source).expanduser()
    if path.suffix or (path.exists() and not path.is_dir()):
        return path
    for folder in _shipped():
        if (named := folder / f"{source}.yaml").is_file():
            return named
    if path.exists():
        return path  # a folder, which its reader refuses
    names = sorted(
        str(file.relative_to(folder).with_suffix("")) for folder in _shipped() for file in folder.rglob("*.yaml")
    )
    raise InputError(
        f"there is no configuration {source}: it is no file, and those of the package are {', '.join(names)}"
    )


def _shipped() -> list[Path]:
    """Where configurations of the package lie: inside it where it is installed, else beside it in a clone."""
    package = Path(__file__).parents[1]
    return [folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir()]


def read_sections(path: Path) -> dict[str, Any]:
    """Read a file of options.

    Raises
    ------
    InputError
        Where it does not hold options.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        what = "is empty" if content is None else f"holds {type(content).__name__}, not keys and values"
        raise InputError(f"{path} {what}; write options as in 'data: {{root: data/planet}}', or leave it out")
    for name in _SECTIONS & content.keys():
        if not isinstance(content[name], dict):
            raise InputError(
                f"{path}: {name} is {content[name]!r}; write its options as keys and values below it", option=name
            )
    return content


def _merge(values: dict[str, Any], later: Mapping[str, Any]) -> None:
    """Put later options in place of earlier ones, section by section; the value of an option is replaced whole."""
    for name, value in later.items():
        if isinstance(value, dict) and isinstance(values.get(name, {}), dict) and name in _SECTIONS:
            values[name] = {**values.get(name, {}), **value}
        else:
            values[name] = value

"""The configuration of a run: all options of `train`, as one typed value."""

from collections.abc import Mapping, Sequence
from dataclasses import field, is_dataclass
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, Field

from amazon_ml.data.config import DataConfig
from amazon_ml.decisions.parameters import MOST_BETA
from amazon_ml.errors import InputError
from amazon_ml.models.config import ModelConfig
from amazon_ml.runs.trainer import TrainerConfig
from amazon_ml.runtime.yaml_files import read_yaml
from amazon_ml.settings import AnyPath, PathText, build, dict_values, put_inside, settings

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
        Folds to train a network for, each held out once: one, a list, or ``all``. Several processes may train
        different folds of one run at the same time.
    seed
        Seed of folds, order, augmentation and weights.
    beta
        Weight of recall in the F-beta that thresholds are tuned for and runs are scored by. Learning curves always show
        F2, and the loss ``soft_f2`` has a beta of its own.
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
    beta: Annotated[float, Field(gt=0, le=MOST_BETA, allow_inf_nan=False)] = 2.0
    loggers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, source: AnyPath | Sequence[AnyPath], overrides: Mapping[str, object] | None = None) -> "RunConfig":
        """Read a configuration.

        Parameters
        ----------
        source
            Name of a configuration that comes with the package, such as ``demo``, or a YAML file; of several, later
            ones win.
        overrides
            Dotted name of an option to its value, such as ``{"data.size": 128}``; these win over all files. More dots
            give one key of a value: ``{"loggers.wandb.project": "tiles"}`` keeps the others.

        Returns
        -------
        RunConfig
            With all options, checked.

        Raises
        ------
        InputError
            With the file or the option that is wrong.
        """
        sources = [Path(one) if isinstance(one, PathLike) else one
                   for one in ([source] if isinstance(source, str | PathLike) else source)]  # fmt: skip
        values: dict[str, object] = {"run": default_run(sources)}
        for path in map(find_config, sources):
            _merge(values, read_sections(path))
        for option, value in (overrides or {}).items():
            if len(keys := _keys(option)) > 1:
                values.update(put_inside(values, keys, value))
            else:
                _merge(values, {option: value})
        return build(cls, values)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.run or default_run([]))

    def folds_of(self, there: Sequence[int]) -> list[int]:
        """Choose the folds to train out of the existing ones, in rising order.

        Raises
        ------
        InputError
            Where a fold does not exist.
        """
        requested = [self.folds] if isinstance(self.folds, int) else self.folds
        chosen = list(there) if requested == "all" else sorted(set(requested))
        if not chosen or not set(chosen) <= set(there):
            raise InputError(
                f"`folds` {self.folds}: there are the folds {list(there)}; folds are counted from 0", option="folds"
            )
        return chosen


def default_run(sources: Sequence[str | Path]) -> str:
    """Name the run folder after the last configuration."""
    return f"runs/{Path(sources[-1]).stem if sources else 'default'}"


def find_config(source: str | Path) -> Path:
    """Find a configuration: a file, or the name, without ending, of one that comes with the package.

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
        return path  # a folder: its reader reports that
    names = sorted(
        str(file.relative_to(folder).with_suffix("")) for folder in _shipped() for file in folder.rglob("*.yaml")
    )
    raise InputError(
        f"there is no configuration {source}: it is no file, and those of the package are {', '.join(names)}",
        option="config",
    )


def _shipped() -> list[Path]:
    """List the folders of the package's configurations: inside it where it is installed, beside it in a clone."""
    package = Path(__file__).parents[1]
    return [folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir()]


def read_sections(path: Path) -> dict[str, object]:
    """Read a file of options.

    Raises
    ------
    InputError
        Where it does not hold options.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        what = "is empty" if content is None else f"holds {type(content).__name__}, not keys and values"
        raise InputError(
            f"the file {what}", file=path, remedy="write options as in 'data: {root: data/planet}', or leave it out"
        )
    for name in _SECTIONS & content.keys():
        if not isinstance(content[name], dict):
            raise InputError(
                f"{name} is {content[name]!r}",
                file=path,
                option=name,
                remedy="write its options as keys and values below it",
            )
    return content


def _keys(option: str) -> list[str]:
    """Split the dotted name of an option, and of keys inside its value; a key of a value without keys may have dots."""
    kind: Any = RunConfig
    keys: list[str] = []
    while kind is not Any:
        head, _, rest = option.partition(".")
        kind = get_type_hints(kind).get(head) if is_dataclass(kind) else dict_values(kind)
        if not rest or not (kind is Any or is_dataclass(kind) or dict_values(kind)):
            return [*keys, option]
        keys.append(head)
        option = rest
    return keys + option.split(".")


def _merge(values: dict[str, object], later: Mapping[str, object]) -> None:
    """Replace earlier options by later ones, section by section; the value of an option is replaced whole."""
    for name, value in later.items():
        earlier = values.get(name, {})
        if isinstance(value, dict) and isinstance(earlier, dict) and name in _SECTIONS:
            values[name] = {**earlier, **value}
        else:
            values[name] = value

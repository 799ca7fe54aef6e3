"""The content of `provenance.json`: where a run comes from."""

from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from amazon_ml.errors import InputError
from amazon_ml.runtime.files import read_json


class Start(TypedDict):
    """One start of a run: ``time`` in ISO 8601, UTC, and the ``command``."""

    time: str
    command: str


class Acceptance(Start):
    """Files that a person changed and accepted: the ``user``, and the SHA-256 of each of the ``files`` by its path."""

    user: str
    files: dict[str, str]


class DataProvenance(TypedDict):
    """The tiles of a run.

    ``root``, their folder; ``generated``, whether they are generated; ``sha256`` of tiles and tags, see
    `Catalog.sha256`; ``soft_labels_sha256`` of the table of soft labels; numbers of ``labelled`` and ``unlabelled``
    tiles, the latter with those of a published test split; ``tested``, their number, and ``tested_sha256`` of their
    tags; ``edge`` of the files in pixels, None where they differ; ``tags``, the number of labelled tiles with each tag,
    in the order of the networks' outputs.
    """

    root: str
    generated: bool
    sha256: str
    soft_labels_sha256: str | None
    labelled: int
    unlabelled: int
    edge: NotRequired[int | None]
    tested: NotRequired[int]
    tested_sha256: NotRequired[str | None]
    tags: dict[str, int]


class FoldProvenance(TypedDict):
    """The folds of a run.

    ``sha256`` of folds.csv; ``seed``; ``sizes``, tiles in each fold; ``worst_relative_deviation``, the largest
    difference between the share of a tag in a fold and its share in all, relative to the latter.
    """

    sha256: str
    seed: int
    sizes: list[int]
    worst_relative_deviation: float


class TeacherProvenance(TypedDict):
    """The teacher of a run: its ``path``, and ``sha256``, which is the same for the same options, tiles and folds."""

    path: str
    sha256: str


class Versions(TypedDict):
    """The software and the machine: ``amazon_ml``, ``git_commit`` of a clone, ``python``, ``packages``, ``device``."""

    amazon_ml: str
    git_commit: str | None
    python: str
    packages: dict[str, str]
    device: str


class Origin(TypedDict):
    """What may not change while folds are trained: the tiles, ``data``, the ``folds``, and the ``teacher``, if any."""

    data: DataProvenance
    folds: NotRequired[FoldProvenance]
    teacher: NotRequired[TeacherProvenance]


class Provenance(Origin):
    """The content of provenance.json.

    ``starts``, the oldest first; ``processes``, how many trained each network; ``data``; ``folds``; ``task``, see
    `amazon_ml.runs.provenance.task_of`; ``made_with``, versions at the first start; ``accepted``, changes by hand. A
    blend has no processes, folds and task.
    """

    starts: list[Start]
    processes: NotRequired[int]
    task: NotRequired[str]
    made_with: Versions
    accepted: NotRequired[list[Acceptance]]


class _Checked(dict[str, Any]):
    """The content of a file and of its sections; a key that is missing is an `InputError` with the file."""

    def __init__(self, file: Path, content: dict[str, Any], section: str = "") -> None:
        deeper = not section
        super().__init__(
            (key, _Checked(file, value, f"{key}.") if deeper and isinstance(value, dict) else value)
            for key, value in content.items()
        )
        self._file, self._section = file, section

    def __missing__(self, key: str) -> Any:
        raise InputError(
            f"the file lacks {self._section}{key}", file=self._file, remedy="put the file back as the run wrote it"
        )


def read_provenance(path: Path) -> Provenance:
    """Read the file.

    Raises
    ------
    InputError
        Where the file is not the provenance of a run, and later where a key is used that it lacks.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("data"), dict):
        raise InputError("this is not the provenance of a run", file=path)
    return cast(Provenance, _Checked(path, content))

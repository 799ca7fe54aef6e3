"""The content of ``bundle.json``."""

from typing import TypedDict

from amazon_ml.runs.provenance_file import FoldProvenance, Versions


class PredictOptions(TypedDict):
    """How networks predict: ``batch_size``, tiles at once, and ``precision``, as Lightning names it."""

    batch_size: int
    precision: str | None


class Description(TypedDict):
    """What prediction needs to know of a run.

    ``format``, see `amazon_ml.runs.bundle.FORMAT`; ``tags``, in the order of the networks' outputs; ``table``, options
    that say how a tag table is read; ``tiles``, how tiles are read: the fields of `TileReader`, ``size`` in pixels,
    ``gsd``, metres that a pixel of this size shows or None, and the method of ``resizing``; ``network``, options of the
    network; ``predict``; ``data``, the provenance of the tiles without their folder.
    """

    format: int
    tags: list[str]
    table: dict[str, object]
    tiles: dict[str, object]
    network: dict[str, object]
    predict: PredictOptions
    data: dict[str, object]


class AcceptedFiles(TypedDict):
    """Changes by hand that were accepted: the ``time``, and the SHA-256 of each of the ``files``."""

    time: str
    files: dict[str, str]


class Content(Description):
    """The content of ``bundle.json``, without hashes.

    Besides the description: ``decision``, the content of decision.json; ``metrics``, that of metrics.json without the
    folder of the tiles; ``folds``; ``trained_with``, versions; ``accepted``, changes by hand. The file also has
    ``weights`` and ``known``, the SHA-256 of each file of weights and of the file of the names of the training tiles,
    and ``sha256`` of all this, which `amazon_ml.runs.bundle.content_hash` computes.
    """

    decision: dict[str, object]
    metrics: dict[str, object]
    folds: FoldProvenance
    trained_with: Versions
    accepted: list[AcceptedFiles]

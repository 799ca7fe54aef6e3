"""Views of a tile against the symmetries of the square."""

import numpy as np
import pytest
import torch

from amazon_ml.models.tta import VIEWS


def _symmetries(tile: np.ndarray) -> set[bytes]:
    turned = [np.rot90(tile, k) for k in range(4)]
    return {np.ascontiguousarray(view).tobytes() for t in turned for view in (t, t[:, ::-1])}


@pytest.mark.parametrize(("name", "count"), [("none", 1), ("flips", 4), ("d4", 8)])
def test_views_are_distinct_symmetries_beginning_with_the_tile(name: str, count: int) -> None:
    tile = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    views = [view[0].numpy() for view in VIEWS[name](torch.from_numpy(tile)[None])]
    seen = {np.ascontiguousarray(view).tobytes() for view in views}
    assert len(views) == len(seen) == count
    assert seen <= _symmetries(tile)
    assert np.array_equal(views[0], tile)


def test_flips_do_not_turn() -> None:
    tile = torch.arange(12).reshape(1, 3, 4, 1)
    assert {tuple(view.shape) for view in VIEWS["flips"](tile)} == {(1, 3, 4, 1)}

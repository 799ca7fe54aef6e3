"""Views of a tile against the symmetries of the square."""

import numpy as np
import pytest
import torch

from amazon_ml.models.tta import MEANS, VIEWS


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


def test_d4_is_a_group() -> None:
    tile = torch.arange(9).reshape(1, 3, 3, 1)
    eight = {tuple(view.flatten().tolist()) for view in VIEWS["d4"](tile)}
    again = {tuple(twice.flatten().tolist()) for view in VIEWS["d4"](tile) for twice in VIEWS["d4"](view)}
    assert len(eight) == 8 and again == eight  # finite and closed: inverses are among them


@pytest.mark.parametrize("name", MEANS)
def test_mean_of_equal_views_is_one_view(name: str) -> None:
    logits = torch.linspace(-30, 30, 12, dtype=torch.float64).reshape(3, 4)
    torch.testing.assert_close(MEANS[name]([logits] * 8, torch.sigmoid), logits.sigmoid())


def test_means_worked_by_hand() -> None:
    # Odds of 1 and 16: probabilities 1/2 and 16/17, geometric mean of the odds 4.
    views = [torch.tensor([[0.0]]), torch.tensor([[16.0]]).log()]
    assert MEANS["probability"](views, torch.sigmoid).item() == pytest.approx((1 / 2 + 16 / 17) / 2)
    assert MEANS["logit"](views, torch.sigmoid).item() == pytest.approx(4 / 5)

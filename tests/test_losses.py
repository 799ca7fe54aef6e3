"""The loss against numbers worked by hand, and against its own derivation."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from amazon_ml.errors import InputError
from amazon_ml.models.losses import make_loss, prior_logits


def test_textbook_example_in_bits() -> None:
    probabilities, targets = torch.tensor([0.8, 0.4, 0.6]), torch.tensor([1.0, 0.0, 1.0])
    each = F.binary_cross_entropy_with_logits(torch.logit(probabilities), targets, reduction="none") / math.log(2)
    assert each.numpy() == pytest.approx([0.322, 0.737, 0.737], abs=5e-4)
    assert each.sum().item() == pytest.approx(1.796, abs=5e-4)


def test_reduction_is_the_mean_over_tiles_and_tags() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(5, 17)), rng.integers(0, 2, (5, 17)).astype(float)
    p = 1 / (1 + np.exp(-logits))
    by_hand = -(targets * np.log(p) + (1 - targets) * np.log(1 - p))
    loss = make_loss("bce")(torch.from_numpy(logits), torch.from_numpy(targets)).item()
    assert loss == pytest.approx(by_hand.mean(), abs=1e-12)
    assert 17 * loss == pytest.approx(by_hand.sum(axis=1).mean(), abs=1e-11)


def test_derivative_is_sigmoid_minus_target() -> None:
    logits = torch.linspace(-30, 30, 34, dtype=torch.float64).reshape(2, 17).requires_grad_()
    targets = (torch.arange(34).reshape(2, 17) % 3 == 0).double()
    make_loss("bce")(logits, targets).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad * 34, logits.detach().sigmoid() - targets)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_extreme_logits_stay_finite_where_probabilities_do_not(logit: float, target: float) -> None:
    logits, targets = torch.full((1, 1), logit, requires_grad=True), torch.full((1, 1), target)
    loss = make_loss("bce")(logits, targets)
    loss.backward()
    wrong = (logit > 0) != (target > 0)
    assert loss.item() == (1e4 if wrong else 0)
    assert logits.grad is not None and logits.grad.item() == pytest.approx(np.sign(logit) if wrong else 0)
    naive = -torch.log(logits.sigmoid() if target else 1 - logits.sigmoid())
    assert math.isinf(naive.item()) == wrong


@pytest.mark.parametrize(("logit", "saturated"), [(16.0, False), (17.5, True), (-86.0, False), (-90.0, True)])
def test_where_the_float32_sigmoid_rounds_to_its_ends(logit: float, saturated: bool) -> None:
    # The docstring of the module names these logits.
    assert (torch.tensor([logit]).sigmoid().item() in (0.0, 1.0)) == saturated


def test_constant_frequencies_cost_their_entropy() -> None:
    # Counts of the competition's train_v2.csv, 40,479 tiles.
    counts = [37513, 28431, 12315, 8071, 7411, 7261, 4547, 3660, 2697, 2089, 862, 340, 339, 332, 209, 98, 100]
    f = torch.tensor(counts, dtype=torch.float64) / 40479
    cost = make_loss("bce")(prior_logits(f).expand(1, 17), f.expand(1, 17)).item()
    entropy = float((-f * f.log() - (1 - f) * (1 - f).log()).mean())
    assert cost == pytest.approx(entropy, abs=1e-9)
    assert entropy == pytest.approx(0.26, abs=0.005)  # the figure in the docstring


def test_prior_logits_of_absent_and_universal_tags_are_finite() -> None:
    logits = prior_logits(torch.tensor([0.0, 0.5, 1.0]))
    assert torch.isfinite(logits).all()
    assert logits[1] == 0


def test_unknown_loss_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no loss 'bcee'.*bce"):
        make_loss("bcee")

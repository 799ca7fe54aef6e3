"""The losses against numbers worked by hand, plain numpy, and their own derivations."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from refused import refused
from sklearn.metrics import fbeta_score, log_loss
from torch.nn import functional as F

from amazon_ml.labels import PLANET, PLANET_COUNTS, PLANET_TILES
from amazon_ml.models.losses import LOSSES, Loss, make_loss, prior_logits

Floats = npt.NDArray[np.float64]

#: The competition's tags in an order in which the weather is not together.
TAGS = PLANET.names[2:] + PLANET.names[:2]
WEATHER = [TAGS.index(tag) for tag in ("clear", "partly_cloudy", "haze", "cloudy")]
GROUND = [i for i in range(17) if i not in WEATHER]
FREQUENCIES = np.linspace(0.001, 0.95, 17)


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
    f = torch.tensor([PLANET_COUNTS[tag] for tag in PLANET.names], dtype=torch.float64) / PLANET_TILES
    cost = make_loss("bce")(prior_logits(f).expand(1, 17), f.expand(1, 17)).item()
    entropy = float((-f * f.log() - (1 - f) * (1 - f).log()).mean())
    assert cost == pytest.approx(entropy, abs=1e-9)
    assert entropy == pytest.approx(0.26, abs=0.005)  # the figure in the docstring


def test_prior_logits_of_absent_and_universal_tags_are_finite() -> None:
    logits = prior_logits(torch.tensor([0.0, 0.5, 1.0]))
    assert torch.isfinite(logits).all()
    assert logits[1] == 0


# ---------------------------------------------------------------- all losses, by name


def _sigmoid(z: Floats) -> Floats:
    return 1 / (1 + np.exp(-z))


def _bce(z: Floats, y: Floats) -> Floats:
    p = _sigmoid(z)
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def _pos_weight(z: Floats, y: Floats, power: float, cap: float) -> float:
    p, w = _sigmoid(z), np.clip(((1 - FREQUENCIES) / FREQUENCIES) ** power, 1 / cap, cap)
    return float(-(w * y * np.log(p) + (1 - y) * np.log(1 - p)).mean())


def _smoothing(z: Floats, y: Floats, amount: float) -> float:
    return float(_bce(z, y + amount * (0.5 - y)).mean())


def _focal(z: Floats, y: Floats, gamma: float, alpha: float | None) -> float:
    p, (present, absent) = _sigmoid(z), (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    return float(-(present * y * (1 - p) ** gamma * np.log(p) + absent * (1 - y) * p**gamma * np.log(1 - p)).mean())


def _asymmetric(z: Floats, y: Floats, gamma_pos: float, gamma_neg: float, clip: float) -> float:
    p = _sigmoid(z)
    q = np.maximum(p - clip, 0)
    return float(-(y * (1 - p) ** gamma_pos * np.log(p) + (1 - y) * q**gamma_neg * np.log(1 - q)).mean())


def _soft_f2(z: Floats, y: Floats, weight: float, beta: float) -> float:
    p, scores = _sigmoid(z), []
    for truth, given in zip(y, p, strict=True):
        hits, missed, surplus = truth @ given, truth @ (1 - given), (1 - truth) @ given
        size = (1 + beta**2) * hits + beta**2 * missed + surplus
        scores.append((1 + beta**2) * hits / size if truth.any() else np.prod(1 - given))
    return float(_bce(z, y).mean() + weight * (1 - np.mean(scores)))


def _weather(z: Floats, y: Floats) -> float:
    shares = np.exp(z[:, WEATHER])
    shares /= shares.sum(axis=1, keepdims=True)
    cost = -(y[:, WEATHER] * np.log(shares)).sum() + _bce(z[:, GROUND], y[:, GROUND]).sum()
    return float(cost / z.size)


#: A loss, arguments of it, and plain numpy for it.
CASES: list[tuple[str, dict[str, Any], Callable[..., Any]]] = [
    ("bce", {}, lambda z, y: _bce(z, y).mean()),
    ("pos_weight", {"power": 0.5, "cap": 10.0}, _pos_weight),
    ("pos_weight", {"power": 1.0, "cap": 1e6}, _pos_weight),
    ("label_smoothing", {"amount": 0.1}, _smoothing),
    ("focal", {"gamma": 2.0, "alpha": 0.25}, _focal),
    ("focal", {"gamma": 0.5, "alpha": None}, _focal),
    ("asymmetric", {"gamma_pos": 0.0, "gamma_neg": 4.0, "clip": 0.05}, _asymmetric),
    ("asymmetric", {"gamma_pos": 1.0, "gamma_neg": 0.5, "clip": 0.2}, _asymmetric),
    ("asymmetric", {"gamma_pos": 1.0, "gamma_neg": 0.5, "clip": 0.0}, _asymmetric),
    ("soft_f2", {"weight": 1.0, "beta": 2.0}, _soft_f2),
    ("soft_f2", {"weight": 0.3, "beta": 1.0}, _soft_f2),
    ("grouped_softmax", {}, _weather),
]
EACH = pytest.mark.parametrize(
    ("name", "args", "plain"), CASES, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(CASES)]
)


def _loss(name: str, args: Mapping[str, Any] = {}) -> Loss:
    loss = make_loss(name, args, TAGS).double()
    loss.learn_frequencies(torch.from_numpy(FREQUENCIES))
    return loss


def _tiles(soft: bool, tiles: int = 6, spread: float = 4.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and targets, float64; hard ones have one weather each, soft ones are mixed, doubted or without weather."""
    rng = np.random.default_rng(7)
    hard = (rng.random((tiles, 17)) < 0.3).astype(float)
    hard[:, WEATHER] = np.eye(4)[rng.integers(0, 4, tiles)]
    if soft:
        hard = 0.6 * hard + 0.4 * np.roll(hard, 1, axis=0)
        hard[0, WEATHER] *= 0.55
        hard[1, WEATHER] = 0
    return torch.from_numpy(rng.normal(0, spread, (tiles, 17))), torch.from_numpy(hard)


def test_every_loss_is_among_the_cases() -> None:
    assert {name for name, *_ in CASES} == LOSSES.keys()


@EACH
@pytest.mark.parametrize("soft", [False, True])
def test_value_is_that_of_the_formula_in_numpy(name: str, args: dict[str, Any], plain: Any, soft: bool) -> None:
    logits, targets = _tiles(soft)
    expected = plain(logits.numpy(), targets.numpy(), **args)
    assert _loss(name, args)(logits, targets).item() == pytest.approx(expected, rel=1e-10)
    single = _loss(name, args).float()(logits.float(), targets.float())
    assert single.dtype == torch.float32 and single.item() == pytest.approx(expected, rel=1e-5)


@EACH
@pytest.mark.parametrize("soft", [False, True])
def test_gradient_is_that_of_finite_differences(name: str, args: dict[str, Any], plain: Any, soft: bool) -> None:
    logits, targets = _tiles(soft, tiles=3)
    loss = _loss(name, args)
    assert torch.autograd.gradcheck(lambda z: loss(z, targets), logits.requires_grad_())


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_logits_give_finite_values_and_gradients(
    name: str, args: dict[str, Any], plain: Any, dtype: torch.dtype
) -> None:
    signs = torch.tensor([[1.0], [-1.0], [1.0], [-1.0], [1.0]], dtype=dtype).repeat(1, 17)
    signs[4, ::2] = -1
    targets = torch.tensor([[1.0], [1.0], [0.0], [0.0], [0.4]], dtype=dtype).repeat(1, 17)
    for far in (20.0, 90.0, 800.0, 1e4):
        logits = (far * signs).requires_grad_()
        loss = _loss(name, args).to(dtype)(logits, targets)
        loss.backward()
        assert logits.grad is not None
        assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
        assert logits.grad.abs().max() > 0


@EACH
def test_autocast_changes_nothing(name: str, args: dict[str, Any], plain: Any) -> None:
    logits, targets = (values.float() for values in _tiles(soft=True))
    loss = _loss(name, args).float()
    with torch.autocast("cpu", torch.bfloat16):
        cast, probabilities = loss(logits, targets), loss.probabilities(logits)
    assert cast.dtype == probabilities.dtype == torch.float32
    assert cast.item() == loss(logits, targets).item()


@EACH
def test_linear_in_the_target_but_for_soft_f2(name: str, args: dict[str, Any], plain: Any) -> None:
    logits, targets = _tiles(soft=False)
    other, loss = targets.flip(0), _loss(name, args)
    mixed = loss(logits, 0.3 * targets + 0.7 * other)
    parts = 0.3 * loss(logits, targets) + 0.7 * loss(logits, other)
    assert (mixed.item() == pytest.approx(parts.item(), rel=1e-9)) == (name != "soft_f2")


@EACH
def test_a_loss_stores_nothing_beside_the_weights(name: str, args: dict[str, Any], plain: Any) -> None:
    assert not _loss(name, args).state_dict()


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("focal", {"gamma": 0, "alpha": None}),
        ("asymmetric", {"gamma_pos": 0, "gamma_neg": 0, "clip": 0}),
        ("label_smoothing", {"amount": 0}),
        ("pos_weight", {"power": 0}),
        ("pos_weight", {"power": 1, "cap": 1}),
        ("soft_f2", {"weight": 0}),
    ],
)
@pytest.mark.parametrize("spread", [4.0, 300.0])
def test_with_nothing_asked_for_it_is_cross_entropy(name: str, args: dict[str, Any], spread: float) -> None:
    logits, targets = _tiles(soft=True, spread=spread)
    both = torch.stack([logits, logits]).requires_grad_()
    values = torch.stack([_loss(name, args)(both[0], targets), _loss("bce")(both[1], targets)])
    values.sum().backward()  # type: ignore[no-untyped-call]
    assert both.grad is not None
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(both.grad[0], both.grad[1])


def test_focal_with_two_equal_classes_is_half() -> None:
    logits, targets = _tiles(soft=False)
    half = _loss("focal", {"gamma": 2.0, "alpha": 0.5})(logits, targets)
    torch.testing.assert_close(2 * half, _loss("focal", {"gamma": 2.0, "alpha": None})(logits, targets))


# ---------------------------------------------------------------- what the docstrings state


def test_cross_entropy_of_probabilities_is_that_of_logits_and_of_scikit_learn() -> None:
    logits, targets = _tiles(soft=False)
    loss = _loss("bce")(logits, targets)
    torch.testing.assert_close(loss, F.binary_cross_entropy(logits.sigmoid(), targets))
    p = logits.sigmoid().flatten().numpy()
    assert loss.item() == pytest.approx(log_loss(targets.flatten().numpy(), p), rel=1e-12)


def test_textbook_example_of_one_among_three_in_bits() -> None:
    logits, targets = torch.full((1, 17), -1e4, dtype=torch.float64), torch.zeros((1, 17), dtype=torch.float64)
    logits[0, WEATHER[:3]] = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64).log()
    targets[0, WEATHER[0]] = 1
    bits = 17 * _loss("grouped_softmax")(logits, targets).item() / math.log(2)
    assert bits == pytest.approx(-math.log2(0.7)) and math.floor(bits * 1000) == 514


def _derivative(loss: Loss, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Of the sum, not the mean, over tiles and tags."""
    logits = logits.detach().requires_grad_()
    return torch.autograd.grad(loss(logits, targets) * logits.numel(), logits)[0]


def test_derivatives_that_the_docstrings_state() -> None:
    logits, targets = _tiles(soft=True)
    p, y = logits.sigmoid(), targets
    weights = _loss("pos_weight").get_buffer("weights")
    torch.testing.assert_close(_derivative(_loss("pos_weight"), logits, y), (weights * y + 1 - y) * p - weights * y)
    torch.testing.assert_close(_derivative(_loss("label_smoothing"), logits, y), p - (0.9 * y + 0.05))
    present = 0.25 * (1 - p) ** 2 * (2 * p * p.log() - (1 - p))
    absent = 0.75 * p**2 * (p - 2 * (1 - p) * (1 - p).log())
    torch.testing.assert_close(_derivative(_loss("focal"), logits, y), y * present + (1 - y) * absent)
    args = {"gamma_pos": 1.0, "gamma_neg": 4.0, "clip": 0.05}
    q = (p - 0.05).clamp(min=1e-30)
    present = (1 - p) * (p * p.log() - (1 - p))
    absent = p * (1 - p) * q**4 * (1 / (1 - q) - 4 * (1 - q).log() / q)
    torch.testing.assert_close(_derivative(_loss("asymmetric", args), logits, y), y * present + (1 - y) * absent)
    q = _loss("grouped_softmax").probabilities(logits)
    expected = p - y
    expected[:, WEATHER] = (y[:, WEATHER].sum(dim=1, keepdim=True) * q - y)[:, WEATHER]
    torch.testing.assert_close(_derivative(_loss("grouped_softmax"), logits, y), expected)
    size = 4 * y.sum(dim=1, keepdim=True) + p.sum(dim=1, keepdim=True)
    score = 5 * (y * p).sum(dim=1, keepdim=True) / size
    expected = p - y - 17 * p * (1 - p) * (5 * y - score) / size
    torch.testing.assert_close(_derivative(_loss("soft_f2"), logits, y), expected)


def test_minima_that_the_docstrings_state() -> None:
    y = torch.full((1, 17), 0.3, dtype=torch.float64)
    weights = _loss("pos_weight").get_buffer("weights")
    places = {
        "bce": torch.logit(y),
        "pos_weight": torch.logit(weights * y / (weights * y + 1 - y)),
        "label_smoothing": torch.logit(0.9 * y + 0.05),
        "grouped_softmax": torch.logit(y),
    }
    y[0, WEATHER] = torch.tensor([0.5, 0.25, 0.0, 0.0], dtype=torch.float64)
    places["grouped_softmax"][0, WEATHER] = (
        torch.tensor([2 / 3, 1 / 3, 0, 0], dtype=torch.float64).clamp(min=1e-300).log()
    )
    y_of = {name: y if name == "grouped_softmax" else torch.full_like(y, 0.3) for name in places}
    for name, logits in places.items():
        slope = _derivative(_loss(name), logits, y_of[name])
        torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("name", "least"), [("focal", [0.18, 0.40, 0.67]), ("asymmetric", [0.42, 0.68, 0.98])])
def test_focusing_losses_are_least_where_their_page_says(name: str, least: list[float]) -> None:
    p = torch.linspace(1e-4, 1 - 1e-4, 9999, dtype=torch.float64)[:, None]
    loss = make_loss(name, {}, ["a"])
    for share, expected in zip([0.05, 0.5, 0.95], least, strict=True):
        slope = _derivative(loss, torch.logit(p), torch.full_like(p, share))
        assert p[int((slope < 0).sum())].item() == pytest.approx(expected, abs=0.005)


def test_asymmetric_drops_absent_tags_below_the_clip_and_given_for_certain() -> None:
    logits = torch.tensor([[-3.0, -2.8, 0.0, 40.0]], dtype=torch.float64)  # the sigmoid of -2.944 is 0.05
    slope = _derivative(make_loss("asymmetric", {}, ["a", "b", "c", "d"]), logits, torch.zeros(1, 4).double())[0]
    assert slope[0] == 0 and slope[1] > 0 and slope[2] > slope[1] and slope[3] < 1e-12


def test_soft_f2_of_certain_answers_is_the_metric() -> None:
    _, targets = _tiles(soft=False, tiles=20)
    targets[3] = 0  # without tags, and none is predicted: right
    targets[9] = 0  # without tags, and some are predicted: wrong
    decided = targets.roll(1, dims=1)
    decided[5] = 0
    decided[9, 2] = 1
    logits = 2000 * decided - 1000
    alone = _loss("soft_f2")(logits, targets) - _loss("bce")(logits, targets)
    expected = fbeta_score(targets.numpy(), decided.numpy(), beta=2, average="samples", zero_division=1)
    assert 1 - alone.item() == pytest.approx(expected, abs=1e-12)


def test_tiles_without_tags_have_finite_gradients_under_soft_f2() -> None:
    for far in (0.0, -50.0, -1e4):
        logits = torch.full((2, 17), far, requires_grad=True)
        make_loss("soft_f2", {}, TAGS)(logits, torch.zeros(2, 17)).backward()
        assert logits.grad is not None
        p = logits.detach().sigmoid()
        torch.testing.assert_close(logits.grad * 34, p * (1 + 17 * (1 - p) ** 17))


def test_tile_without_weather_teaches_none() -> None:
    logits, targets = _tiles(soft=True)
    slope = _derivative(_loss("grouped_softmax"), logits, targets)
    assert (slope[1, WEATHER] == 0).all() and (slope[1, GROUND] != 0).all() and (slope[0, WEATHER] != 0).all()


def test_weights_of_presence_are_tempered_and_capped() -> None:
    loss = make_loss("pos_weight", {"power": 0.5, "cap": 3.0}, list("abcde"))
    assert loss.get_buffer("weights").tolist() == [1, 1, 1, 1, 1]
    loss.learn_frequencies(torch.tensor([0.0, 0.2, 0.5, 0.8, 1.0]))
    torch.testing.assert_close(loss.get_buffer("weights"), torch.tensor([3.0, 2.0, 1.0, 0.5, 1 / 3]))


# ---------------------------------------------------------------- the link, and the start


@pytest.mark.parametrize("name", LOSSES)
def test_link_gives_probabilities_one_a_tag(name: str) -> None:
    for spread in (4.0, 1e4):
        logits, _ = _tiles(soft=False, spread=spread)
        p = _loss(name).probabilities(logits)
        assert p.shape == logits.shape and ((p >= 0) & (p <= 1)).all()
        ground = slice(None) if name != "grouped_softmax" else GROUND
        assert torch.equal(p[:, ground], logits.sigmoid()[:, ground])


def test_weather_probabilities_are_a_soft_max_in_any_order_of_tags() -> None:
    logits, _ = _tiles(soft=False)
    shares = np.exp(logits.numpy()[:, WEATHER])
    p = _loss("grouped_softmax").probabilities(logits).numpy()
    np.testing.assert_allclose(p[:, WEATHER], shares / shares.sum(axis=1, keepdims=True), rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_prior_logits_give_the_frequencies_through_the_link(name: str) -> None:
    frequencies = torch.from_numpy(FREQUENCIES).clone()
    frequencies[WEATHER] = torch.tensor([0.7, 0.18, 0.07, 0.05], dtype=torch.float64)
    loss = _loss(name)
    torch.testing.assert_close(loss.probabilities(loss.prior_logits(frequencies)[None])[0], frequencies)
    ends = loss.prior_logits(torch.zeros(17).double())
    assert torch.isfinite(ends).all() and torch.isfinite(loss.prior_logits(torch.ones(17).double())).all()


# ---------------------------------------------------------------- wrong calls


@pytest.mark.parametrize(
    ("name", "args", "option", "values"),
    [
        ("bcee", {}, "model.loss", ["'bcee'"]),
        ("bce", {"gamma": 1.0}, "model.loss_args", ["bce", "gamma"]),
        ("focal", {"gama": 1.0}, "model.loss_args", ["focal", "gamma, alpha", "gama"]),
        ("focal", {"gamma": -1.0}, "model.loss_args", ["gamma", "0..10", -1.0]),
        ("focal", {"gamma": None}, "model.loss_args", ["gamma", "0..10", None]),
        ("focal", {"alpha": 1.5}, "model.loss_args", ["alpha", "0..1", 1.5]),
        ("label_smoothing", {"amount": math.nan}, "model.loss_args", ["amount", "0..1", math.nan]),
        ("asymmetric", {"clip": 1.0}, "model.loss_args", ["clip", "0..0.99", 1.0]),
        ("asymmetric", {"gamma_neg": "much"}, "model.loss_args", ["gamma_neg", "0..10", "much"]),
        ("pos_weight", {"cap": 0.5}, "model.loss_args", ["cap", "1..1e+06", 0.5]),
        ("soft_f2", {"beta": 0.0}, "model.loss_args", ["beta", "0.01..100", 0.0]),
    ],
)
def test_wrong_names_and_arguments_are_refused(
    name: str, args: dict[str, Any], option: str, values: list[object]
) -> None:
    with refused(option=option, says=values):
        make_loss(name, args, TAGS)


def test_an_unknown_loss_is_answered_with_the_known_ones() -> None:
    with refused(option="model.loss", says=["'bcee'", *LOSSES]):
        make_loss("bcee", {}, TAGS)


def test_weather_without_weather_tags_is_refused() -> None:
    with refused(option="model.loss", says=["grouped_softmax", "cat, dog"]):
        make_loss("grouped_softmax", {}, ["cat", "dog"])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("logits", "targets"), [((6, 1), (6,)), ((6, 17), (17,)), ((6, 17), (6, 1)), ((1, 17), (6, 17))]
)
def test_shapes_that_pytorch_would_broadcast_are_refused(
    name: str, logits: tuple[int, ...], targets: tuple[int, ...]
) -> None:
    loss = _loss(name)
    for call in (loss, lambda z, y: loss.weighted(z, y, torch.ones(len(z)))):
        with refused(option="target", says=[logits, targets]):
            call(torch.zeros(logits), torch.ones(targets))


def test_shapes_of_named_arguments_are_checked_too() -> None:
    loss, logits, targets = make_loss("focal", {}, ["a"]), torch.zeros(3, 1), torch.zeros(3)
    with refused(option="target", says=[(3, 1), (3,)]):
        loss(logits, targets=targets)
    with refused(option="target", says=[(3, 1), (3,)]):
        loss(targets=targets, logits=logits)


def test_tiles_without_weight_have_no_loss() -> None:
    logits = torch.zeros(6, 17, requires_grad=True)
    loss = _loss("bce").weighted(logits, torch.ones(6, 17), torch.zeros(6))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss == 0 and logits.grad is not None and (logits.grad == 0).all()


@pytest.mark.parametrize("shape", [(6, 1), (1,), (), (17,)])
def test_weights_that_are_not_one_for_each_tile_are_refused(shape: tuple[int, ...]) -> None:
    with refused(option="weight", says=[shape, (6,)]):
        _loss("bce").weighted(torch.zeros(6, 17), torch.ones(6, 17), torch.ones(shape))

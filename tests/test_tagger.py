"""The network: its input, its output, its optimizer and learning rate."""

from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from refused import refused

from amazon_ml.errors import InputError
from amazon_ml.labels import PLANET
from amazon_ml.models.losses import LOSSES
from amazon_ml.models.schedules import SCHEDULES
from amazon_ml.models.tagger import TileTagger
from amazon_ml.models.tta import MEANS

TAGS = ["a", "b", "c"]


def _tagger(**options: Any) -> TileTagger:
    torch.manual_seed(0)
    return TileTagger(TAGS, **{"backbone": "test_resnet", "pretrained": False, "size": 32, **options}).eval()


def _tiles(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8))


def test_logits_equal_timm_on_images_normalised_by_hand() -> None:
    tagger, tiles = _tagger(), _tiles(4, 32, 32, 3)
    config = tagger.backbone.pretrained_cfg
    assert isinstance(config, dict)
    scaled = (tiles.numpy() / 255 - np.array(config["mean"])) / np.array(config["std"])
    with torch.inference_mode():
        expected = tagger.backbone(torch.from_numpy(scaled.transpose(0, 3, 1, 2)).float())
        torch.testing.assert_close(tagger(tiles), expected, atol=1e-5, rtol=1e-5)


def test_probabilities_are_float32_even_in_bfloat16() -> None:
    tagger, tiles = _tagger(), _tiles(2, 32, 32, 3)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        p = tagger.probabilities(tiles)
    assert p.dtype == torch.float32 and p.shape == (2, 3)
    assert ((p > 0) & (p < 1)).all()


def test_d4_probabilities_are_the_mean_over_views_and_the_same_for_a_turned_tile() -> None:
    tagger, tiles = _tagger(tta="d4"), _tiles(2, 32, 32, 3)
    with torch.inference_mode():
        p = tagger.probabilities(tiles)
        views = [np.rot90(tiles.numpy(), k, (1, 2))[:, :, ::step] for k in range(4) for step in (1, -1)]
        one_by_one = [tagger(torch.from_numpy(view.copy())).sigmoid() for view in views]
        torch.testing.assert_close(p, torch.stack(one_by_one).mean(dim=0))
        torch.testing.assert_close(tagger.probabilities(tiles.rot90(1, (1, 2))), p)


def test_logits_are_averaged_before_the_link_of_the_loss() -> None:
    torch.manual_seed(0)
    tags, tiles = list(PLANET.names), _tiles(2, 32, 32, 3)
    options: dict[str, Any] = {"backbone": "test_resnet", "pretrained": False, "size": 32, "loss": "grouped_softmax"}
    tagger = TileTagger(tags, **options, tta="d4", tta_mean="logit").eval()
    with torch.inference_mode():
        p = tagger.probabilities(tiles)
        views = [np.rot90(tiles.numpy(), k, (1, 2))[:, :, ::step] for k in range(4) for step in (1, -1)]
        mean = torch.stack([tagger(torch.from_numpy(view.copy())) for view in views]).mean(dim=0)
    torch.testing.assert_close(p[:, :4], mean[:, :4].softmax(dim=1))
    torch.testing.assert_close(p[:, 4:], mean[:, 4:].sigmoid())


@pytest.mark.parametrize("mean", MEANS)
def test_views_change_nothing_for_a_network_that_sees_the_mean_colour_only(mean: str) -> None:
    tiles = _tiles(2, 32, 32, 3)
    one, eight = _tagger(), _tagger(tta="d4", tta_mean=mean)
    for tagger in (one, eight):
        torch.manual_seed(1)
        tagger.backbone = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 3))
    with torch.inference_mode():
        torch.testing.assert_close(eight.probabilities(tiles), one.probabilities(tiles))
        assert not torch.equal(one.probabilities(tiles)[0], one.probabilities(tiles)[1])


@pytest.mark.parametrize("channels", [1, 4, 6])
def test_other_channel_counts(channels: int) -> None:
    with torch.inference_mode():
        assert _tagger(in_chans=channels)(_tiles(2, 32, 32, channels)).shape == (2, 3)


def test_network_made_for_one_size_is_made_for_ours() -> None:
    with torch.inference_mode():
        assert _tagger(backbone="test_vit", size=64)(_tiles(1, 64, 64, 3)).shape == (1, 3)


def test_channels_last_does_not_change_the_result() -> None:
    tiles = _tiles(2, 32, 32, 3)
    with torch.inference_mode():
        torch.testing.assert_close(_tagger()(tiles), _tagger(channels_last=False)(tiles), atol=1e-5, rtol=1e-5)


def test_statistics_travel_with_the_weights() -> None:
    tagger = _tagger(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    other = _tagger()
    other.load_state_dict(tagger.state_dict())
    torch.testing.assert_close(other.mean, torch.tensor([0.1, 0.2, 0.3]) * 255)


def test_compiling_leaves_the_names_of_the_weights() -> None:
    assert _tagger(compile=True).state_dict().keys() == _tagger().state_dict().keys()


def test_start_from_frequencies() -> None:
    tagger, frequencies = _tagger(), torch.tensor([0.9, 0.1, 0.5])
    tagger.start_from_frequencies(frequencies)
    head = tagger.backbone.get_classifier()  # type: ignore[operator]
    torch.testing.assert_close(head.bias.sigmoid(), frequencies)


@pytest.mark.parametrize("backbone", ["deit_tiny_distilled_patch16_224", "levit_128s"])
def test_heads_in_parts_start_from_frequencies_too(backbone: str) -> None:
    tagger, frequencies = TileTagger(TAGS, backbone, pretrained=False, size=224).eval(), torch.tensor([0.9, 0.1, 0.5])
    tagger.start_from_frequencies(frequencies)
    biases = {
        key: value for key, value in tagger.backbone.named_parameters() if key.endswith("bias") and len(value) == 3
    }
    assert len(biases) == 2  # of the two heads whose mean is the answer
    for bias in biases.values():
        torch.testing.assert_close(bias.sigmoid(), frequencies)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_leaves_the_names_of_the_weights_and_their_start(name: str) -> None:
    torch.manual_seed(0)
    tagger = TileTagger(list(PLANET.names), "test_resnet", pretrained=False, size=32, loss=name)
    torch.manual_seed(0)
    plain = TileTagger(list(PLANET.names), "test_resnet", pretrained=False, size=32)
    stored = plain.state_dict()
    assert tagger.state_dict().keys() == stored.keys()
    assert all(torch.equal(value, stored[key]) for key, value in tagger.state_dict().items())


def test_norms_and_biases_are_not_decayed() -> None:
    tagger = _tagger(weight_decay=0.3)
    trainer = pl.Trainer(accelerator="cpu", max_steps=10, logger=False, enable_checkpointing=False)
    tagger.trainer = trainer
    trainer.strategy.connect(tagger)
    groups = tagger.configure_optimizers()["optimizer"].param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(decay) == len(list(tagger.parameters()))
    for parameter in tagger.parameters():
        assert decay[id(parameter)] == (0.3 if parameter.ndim > 1 else 0.0)


@pytest.mark.parametrize(
    ("precision", "clip", "fused"),
    [("32-true", None, True), ("32-true", 1.0, True), ("bf16-mixed", None, True), ("bf16-mixed", 1.0, None)],
)
def test_optimizer_is_fused_or_left_to_pytorch(precision: Any, clip: float | None, fused: bool | None) -> None:
    tagger = _tagger()
    trainer = pl.Trainer(
        accelerator="cpu", precision=precision, gradient_clip_val=clip, max_steps=10, logger=False,
        enable_checkpointing=False,
    )  # fmt: skip
    tagger.trainer = trainer
    trainer.strategy.connect(tagger)
    defaults = tagger.configure_optimizers()["optimizer"].defaults
    assert defaults["fused"] is fused and defaults["foreach"] is None


@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rate_is_a_continuous_share_of_the_highest(name: str) -> None:
    shares = np.array([SCHEDULES[name](done, 0.25) for done in np.linspace(0, 1, 2001)])
    assert shares.min() >= 0 and shares.max() == pytest.approx(1)
    assert np.abs(np.diff(shares)).max() < 0.005
    if name != "constant":
        assert shares.argmax() == 500 and shares[0] < 0.05 and shares[-1] < 1e-4


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_learning_rate_without_a_rise_or_a_fall(name: str, warmup: float) -> None:
    assert all(0 <= SCHEDULES[name](done, warmup) <= 1 for done in (0, 0.3, 1))


@pytest.mark.parametrize(
    ("options", "option", "values"),
    [
        ({"backbone": "resnet5O"}, "model.backbone", ["'resnet5O'", "resnet50"]),
        ({"schedule": "cosin"}, "schedule", ["'one_cycle'", "'cosine'", "'constant'", "'cosin'"]),
        ({"tta": "d8"}, "tta", ["'d4'", "'d8'"]),
        ({"tta_mean": "odds"}, "tta_mean", ["'probability'", "'logit'", "'odds'"]),
        ({"loss": "focal", "loss_args": {"gama": 2}}, "model.loss_args", ["focal", "gamma, alpha", "gama"]),
        ({"loss": "grouped_softmax"}, "model.loss", ["grouped_softmax", "a, b, c"]),
        ({"backbone_args": {"no_such": 1}}, "model.backbone_args", ["test_resnet", "'no_such'"]),
        ({"backbone": "test_resnet.nope"}, "model.backbone", ["test_resnet.nope"]),
        ({"backbone_args": {"in_chans": 4}}, "model.backbone_args", ["in_chans"]),
        ({"backbone_args": {"features_only": True}}, "model.backbone_args", ["features_only"]),
        ({"backbone_args": {"drop_path_rate": 3}}, "model.backbone_args", ["drop_path_rate", "0..1", "3"]),
        ({"backbone_args": {"drop_rate": "x"}}, "model.backbone_args", ["drop_rate", "0..1", "'x'"]),
        ({"lr": 0.0}, "lr", ["0", "0.0"]),
        ({"lr": float("nan")}, "lr", ["nan"]),
        ({"weight_decay": float("inf")}, "weight_decay", ["inf"]),
        ({"std": [0.2, 0.0, 0.2]}, "std", ["0", "0.0"]),
        ({"warmup": 1.5}, "warmup", ["1", "1.5"]),
        ({"mean": [0.5]}, "model.mean", ["`model.std`", "3"]),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], option: str, values: list[str]) -> None:
    with refused(option=option, says=values):
        _tagger(**options)


def test_a_batch_that_batch_norms_cannot_train_on_is_refused() -> None:
    tagger = _tagger().train()
    with refused(option="data.batch_size", says=["drop_last", "`data.batch_size`"]):
        tagger.training_step({"image": _tiles(1, 32, 32, 3), "target": torch.zeros(1, 3)}, 0)


def test_a_wrong_loss_is_named_before_a_backbone_is_made() -> None:
    with pytest.raises(InputError) as caught:
        TileTagger(["a"], backbone="no_such_backbone", loss="no_such_loss", size=32)
    assert "no_such_loss" in str(caught.value)

"""The preprocessing on the device, against numpy and OpenCV."""

from typing import Any

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from refused import refused
from torch.utils.data import DataLoader

from amazon_ml.data.readers.images import resize
from amazon_ml.models.preprocess import check_images, normalise, preprocess
from amazon_ml.models.tagger import TileTagger
from amazon_ml.models.tta import VIEWS

MEAN, STD = torch.tensor([80.0, 90.0, 70.0, 100.0]), torch.tensor([40.0, 36.0, 35.0, 50.0])


def tiles(edge: int = 32, channels: int = 3) -> torch.Tensor:
    """Smooth tiles, as photographs are."""
    noise = np.random.default_rng(0).integers(256, size=(2, edge, edge, channels), dtype=np.uint8)
    return torch.from_numpy(np.stack([cv2.GaussianBlur(tile, (0, 0), 2).reshape(tile.shape) for tile in noise]))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_normalised_by_hand(channels: int) -> None:
    images, mean, std = tiles(channels=channels), MEAN[:channels], STD[:channels]
    expected = ((images.numpy().astype(np.float64) - mean.numpy()) / std.numpy()).transpose(0, 3, 1, 2)
    inputs = preprocess(images, mean, std)
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert np.abs(inputs.numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("size", [None, 16])
def test_every_view_comes_out_in_the_same_order_of_memory(size: int | None) -> None:
    # Elsewhere than on the CPU, where it is compiled: "meta" tensors have strides, and no values.
    images, statistics = torch.empty(2, 32, 32, 3, dtype=torch.uint8, device="meta"), torch.ones(3, device="meta")
    for view in VIEWS["d4"](images):
        assert preprocess(view, statistics, statistics, size).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [16, 8, 24, 64])
def test_scaling_on_the_device_is_near_opencvs(size: int) -> None:
    images = tiles()
    ours = preprocess(images, torch.zeros(3), torch.ones(3), size).numpy().transpose(0, 2, 3, 1)
    reference = np.stack([resize(image, size) for image in images.numpy()])
    # A triangle filter, an average of areas and a cubic are three ways of the same, not one.
    assert np.abs(ours - reference).mean() < 3
    assert abs(ours.mean() - reference.mean()) < 0.5


def test_the_size_they_have_changes_nothing() -> None:
    images = tiles()
    assert torch.equal(preprocess(images, MEAN[:3], STD[:3], 32), preprocess(images, MEAN[:3], STD[:3]))


@pytest.mark.parametrize(
    ("shape", "channels", "remedy"),
    [
        ((32, 32, 3), 3, "tiles[None]"),
        ((32, 32, 1), 1, "tiles[None]"),
        ((20, 32, 32), 1, "tiles[..., None]"),
        ((20, 32, 32), 3, "numpy.stack"),
    ],
)
def test_an_array_that_lacks_an_axis_is_refused_with_the_axis(
    shape: tuple[int, ...], channels: int, remedy: str
) -> None:
    with refused(option="tiles", says=shape) as raised:
        check_images("uint8", shape, channels)
    assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    ("dtype", "expected", "remedy"),
    [
        (np.dtype(np.int64), "uint8", 'tiles.astype("uint8")'),
        (np.dtype(np.int16), "uint16", 'tiles.astype("uint16")'),
        (torch.int64, "uint8", "tiles.to(torch.uint8)"),
        (np.dtype(np.uint16), "uint8", "scale"),
        (np.dtype(np.uint8), "uint16", "scale"),
        (torch.uint8, "uint16", "scale"),
        (np.dtype(np.float64), "uint8", "normalises"),
    ],
)
def test_only_levels_of_another_range_are_scaled(dtype: Any, expected: str, remedy: str) -> None:
    with refused(option="tiles", says=[str(dtype).removeprefix("torch."), expected]) as raised:
        check_images(dtype, (2, 32, 32, 3), 3, expected=expected)
    assert remedy in raised.value.remedy


def test_sizes_grow_by_epoch_and_predictions_are_made_on_whole_tiles() -> None:
    tagger = TileTagger(["a"], "test_resnet", pretrained=False, size=32, progressive_resizing={1: 16, 3: 24})
    seen: list[tuple[int, int]] = []
    tagger.backbone.register_forward_pre_hook(
        lambda _, inputs: seen.append((tagger.current_epoch, inputs[0].shape[-1]))
    )
    batches = [{"image": tiles(), "index": torch.arange(2), "target": torch.zeros(2, 1)}]
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=5, num_sanity_val_steps=0, enable_model_summary=False, **quiet)  # type: ignore[arg-type]
    loader: Any = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    trainer.fit(tagger, loader, loader)
    assert seen == [(epoch, edge) for epoch, edge in enumerate([32, 16, 16, 24, 24]) for _ in ("train", "validate")]
    seen.clear()
    tagger.eval().probabilities(batches[0]["image"])
    assert [edge for _, edge in seen] == [32]


@pytest.mark.parametrize(("progressive", "least", "given"), [({-1: 64}, 0, -1), ({0: 4}, 8, 4)])
def test_sizes_that_make_no_sense_are_refused(progressive: dict[int, int], least: int, given: int) -> None:
    with refused(option="progressive_resizing", says=[least, given]):
        TileTagger(["a"], "test_resnet", pretrained=False, size=32, progressive_resizing=progressive)


@pytest.mark.parametrize(
    ("size", "progressive", "option", "wrong"),
    [(32, {0: 16, 2: 24, 4: 32}, "model.progressive_resizing", "24 px"), (20, {}, "data.size", "20 px")],
)
def test_sizes_that_a_network_cannot_take_are_refused_before_training(
    size: int, progressive: dict[int, int], option: str, wrong: str
) -> None:
    with refused(option=option, says=["test_vit", wrong]):
        TileTagger(["a"], "test_vit", pretrained=False, size=size, progressive_resizing=progressive)


@pytest.mark.parametrize(("edge", "channels"), [(1, 1), (5, 3), (32, 4), (300, 3)])
def test_one_pass_gives_the_bits_of_the_plain_expression(edge: int, channels: int) -> None:
    images, mean, std = tiles(edge, channels), MEAN[:channels], STD[:channels]
    plain = ((images.float() - mean) / std).permute(0, 3, 1, 2)
    ours = normalise(images, mean, std)
    assert ours.stride() == plain.stride() and ours.dtype == plain.dtype
    assert torch.equal(ours, plain)
    assert torch.equal(normalise(images[:, 1:], mean, std), plain[:, :, 1:])
    assert normalise(images[:0], mean, std).shape == (0, *plain.shape[1:])


def test_memory_that_is_handed_in_is_filled() -> None:
    images, out = tiles(), torch.full((2, 32, 32, 3), torch.nan)
    assert torch.equal(normalise(images, MEAN[:3], STD[:3], out), normalise(images, MEAN[:3], STD[:3]))
    assert torch.equal(out.permute(0, 3, 1, 2), normalise(images, MEAN[:3], STD[:3]))


def test_autocast_and_statistics_in_bfloat16_leave_the_result_in_float32() -> None:
    images = tiles()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(normalise(images, MEAN[:3], STD[:3]), normalise(images, MEAN[:3], STD[:3]))
        assert normalise(images, MEAN[:3].bfloat16(), STD[:3].bfloat16()).dtype == torch.float32


def test_an_exported_graph_holds_the_plain_expression() -> None:
    class Module(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return normalise(images, MEAN[:3], STD[:3])

    batch = torch.export.Dim("batch")
    program = torch.export.export(Module(), (tiles(),), dynamic_shapes=({0: batch},))
    assert "aten.div" in program.graph_module.code
    more = torch.cat([tiles(), tiles(), tiles()])
    assert torch.equal(program.module()(more), normalise(more, MEAN[:3], STD[:3]))

"""What a plain Trainer is given: batches of own loaders, names of networks and losses, and a data module in time."""

import pickle
from collections import UserDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from refused import refused
from test_python import module, tiny, trainer
from torch.utils.data import DataLoader

import amazon_ml as am
from amazon_ml.data.batches.dataset import TileDataset


@pytest.mark.parametrize("missing", ["image", "target", "index", "all"])
def test_batches_of_own_loaders_have_the_form_that_is_documented(missing: str) -> None:
    whole = {
        "image": torch.zeros(2, 32, 32, 3, dtype=torch.uint8), "target": torch.zeros(2, 2), "index": torch.arange(2)
    }  # fmt: skip
    right: Any = DataLoader([whole], batch_size=None)  # type: ignore[arg-type]
    batch = (whole["image"], whole["target"]) if missing == "all" else {k: whole[k] for k in whole if k != missing}
    wrong: Any = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    model, option = tiny(tags=["a", "b"], size=32), "image" if missing == "all" else missing
    plain = trainer(max_epochs=1, num_sanity_val_steps=0)
    if missing == "index":
        plain.fit(model, wrong)  # which training does not need
    else:
        with refused(option=option):
            plain.fit(model, wrong)
    for call in (plain.validate, plain.test) + ((plain.predict,) if missing != "target" else ()):
        with refused(option=option):
            call(model, wrong)
    assert {"val_loss", "val_f2"} <= trainer(max_epochs=1).validate(model, right)[0].keys()


def batches(*targets: float, tiles: int = 2) -> Any:
    made = [
        {"image": torch.zeros(tiles, 32, 32, 3, dtype=torch.uint8), "target": torch.full((tiles, 2), target),
         "index": torch.arange(at * tiles, (at + 1) * tiles)}
        for at, target in enumerate(targets)
    ]  # fmt: skip
    return DataLoader(made, batch_size=None)  # type: ignore[arg-type]


def batch_with(**parts: Any) -> Any:
    """Make a loader of one batch of four tiles, with some parts in place of the right ones."""
    right = {"image": torch.zeros(4, 32, 32, 3, dtype=torch.uint8), "index": torch.arange(4)}
    return DataLoader([{**right, **parts}], batch_size=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", ["bce", "focal", "asymmetric", "label_smoothing"])
@pytest.mark.parametrize(
    ("tags", "shape"), [("a", (4,)), ("a", (1, 4)), ("a", (4, 1, 1)), ("ab", (4, 3)), ("ab", (4, 1)), ("ab", (2, 2))]
)
def test_targets_of_another_shape_are_refused_in_each_step(loss: str, tags: str, shape: tuple[int, ...]) -> None:
    """Where PyTorch broadcasts them, the loss is a number that means nothing."""
    wrong: Any = batch_with(target=torch.ones(shape))
    model, plain = tiny(tags=list(tags), size=32, loss=loss), trainer(max_epochs=1, num_sanity_val_steps=0)
    for call in (plain.fit, plain.validate, plain.test):
        with refused(option="target", says=[shape, (4, len(tags))]):
            call(model, wrong)
    right = batch_with(target=torch.ones(4, len(tags)))
    plain.fit(model, right, right)
    assert "val_loss" in plain.callback_metrics


@pytest.mark.parametrize("index", [torch.arange(4)[:, None], torch.arange(3), torch.tensor(0)])
def test_positions_of_another_shape_are_refused_in_validation_and_test(index: torch.Tensor) -> None:
    model, plain = tiny(tags=["a"], size=32), trainer(max_epochs=1)
    for call in (plain.validate, plain.test):
        with refused(option="index", says=[tuple(index.shape), (4,)]):
            call(model, batch_with(target=torch.ones(4, 1), index=index))


@pytest.mark.parametrize(
    ("weight", "value"),
    [
        (torch.ones(4, 1), (4, 1)),
        (torch.ones(1), (1,)),
        (torch.tensor([1.0, -2.0, 1.0, 1.0]), -2),
        (torch.full((4,), float("nan")), "nan"),
        ([1.0] * 4, "list"),
    ],
)
def test_wrong_weights_of_tiles_are_refused(weight: Any, value: object) -> None:
    model, plain = tiny(tags=["a"], size=32), trainer(max_epochs=1)
    with refused(option="weight", says=value):
        plain.fit(model, batch_with(target=torch.ones(4, 1), weight=weight))
    plain.fit(model, batch_with(target=torch.ones(4, 1), weight=torch.tensor([1.0, 0.0, 2.0, 0.5])))


@pytest.mark.parametrize("weight", [torch.zeros(4), None])
def test_a_batch_without_weight_keeps_the_network_finite(weight: torch.Tensor | None) -> None:
    model = tiny(tags=["a"], size=32)
    trainer(max_epochs=1).fit(model, batch_with(target=torch.ones(4, 1), weight=weight))
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.parametrize("name", ["image", "target", "index"])
def test_parts_of_a_batch_are_tensors(name: str) -> None:
    """PyTorch makes a list of tensors of lists of numbers, one for each place of the list."""
    parts = {"target": torch.ones(4, 2), name: [torch.ones(4), torch.ones(4)]}
    with refused(option=name, says="list"):
        trainer(max_epochs=1).validate(tiny(tags=["a", "b"], size=32), batch_with(**parts))


def test_soft_targets_are_for_training_alone() -> None:
    model, plain = tiny(tags=["a", "b"], size=32), trainer(max_epochs=1, num_sanity_val_steps=0)
    plain.fit(model, batches(0.5, 1 + 1e-6), batches(1.0))
    for call in (plain.validate, plain.test):
        with refused(option="target", says=0.25):
            call(model, batches(1.0, 0.25))


@pytest.mark.parametrize("target", [-1.0, 2.0, float("nan")])
def test_targets_of_training_outside_of_0_to_1_are_refused_in_each_fit(target: float) -> None:
    model, plain = tiny(tags=["a", "b"], size=32), trainer(max_epochs=1)
    plain.fit(model, batches(1.0))
    plain.fit_loop.max_epochs = 2
    for again in (plain, trainer(max_epochs=1)):
        with refused(option="target", says=f"{target:g}"):
            again.fit(model, batches(target))


def test_probabilities_are_refused_in_training_mode() -> None:
    model, plain = tiny(tags=["a", "b"], size=32), trainer(max_epochs=1)
    tiles = torch.randint(0, 255, (2, 32, 32, 3), dtype=torch.uint8)
    plain.fit(model, batches(1.0))
    before = [buffer.clone() for buffer in model.buffers()]
    with refused(says="eval"):
        model.probabilities(tiles)
    assert all(torch.equal(old, new) for old, new in zip(before, model.buffers(), strict=True))
    plain.test(model, batches(1.0), verbose=False)
    assert model.eval().probabilities(tiles).shape == (2, 2)


def test_batches_may_be_mappings_of_another_kind() -> None:
    batch = UserDict(image=torch.zeros(2, 32, 32, 3, dtype=torch.uint8), target=torch.zeros(2, 2),
                     index=torch.arange(2))  # fmt: skip
    loader: Any = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    model, plain = tiny(tags=["a", "b"], size=32), trainer(max_epochs=1, num_sanity_val_steps=0)
    plain.fit(model, loader, loader)
    assert "val_f2" in plain.validate(model, loader)[0]
    assert len(plain.predict(model, loader) or []) == 1


def test_a_trainer_and_its_data_module_can_be_pickled_after_fit(demo_tiles: Path) -> None:
    plain, data = trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=1), module(demo_tiles)
    plain.fit(tiny(size=32), datamodule=data)
    assert pickle.loads(pickle.dumps(plain)).current_epoch == 1
    assert pickle.loads(pickle.dumps(data)).hparams == data.hparams


class Seen(pl.Callback):
    """Keeps the batches of training and of validation."""

    def __init__(self) -> None:
        self.trained: list[Any] = []
        self.scored: list[Any] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any) -> None:
        self.trained.append(batch)

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any
    ) -> None:
        self.scored.append(batch)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_overfit_batches_are_the_first_ones_in_each_epoch_also_where_it_resumes(
    demo_tiles: Path, tmp_path: Path, num_workers: int
) -> None:
    """Lightning replaces the sampler of a data module by one that does not shuffle."""
    seen, checkpoint = Seen(), tmp_path / "last.ckpt"
    plain = trainer(max_epochs=2, num_sanity_val_steps=0, overfit_batches=2, callbacks=[seen])
    plain.fit(tiny(size=32), module(demo_tiles, num_workers=num_workers))
    plain.save_checkpoint(checkpoint)
    again = trainer(max_epochs=3, num_sanity_val_steps=0, overfit_batches=2, callbacks=[seen])
    again.fit(tiny(size=32), module(demo_tiles, num_workers=num_workers), ckpt_path=checkpoint)

    data = module(demo_tiles)
    data.setup("fit")
    dataset = data.train_dataloader().dataset
    assert isinstance(dataset, TileDataset)
    expected = [dataset.fetch([*range(at, at + 16)]) for at in (0, 16)]
    assert len(seen.trained) == 6
    for at, batch in enumerate(seen.trained):
        assert all(torch.equal(batch[key], expected[at % 2][key]) for key in expected[at % 2])
    rows = data.train_rows[:16]
    assert torch.equal(seen.trained[0]["target"], torch.from_numpy(data.catalog.targets[rows]).float())
    assert all(torch.equal(batch["index"], torch.arange(len(batch["index"]))) for batch in seen.scored[:1])


def test_a_wrong_name_is_refused_before_the_tags_are_known() -> None:
    for options, option in (({"backbone": "resnet5"}, "model.backbone"), ({"loss": "BCE"}, "model.loss"),
                            ({"loss": "focal", "loss_args": {"gama": 2}}, "model.loss_args")):  # fmt: skip
        with refused(option=option):
            am.TileTagger(**options)


@pytest.mark.parametrize(("tags", "value"), [("resnet18", "'resnet18'"), ([0, 1], 0), (3, 3)])
def test_what_is_no_list_of_tags_is_refused(tags: Any, value: object) -> None:
    with refused(option="tags", says=value):
        am.TileTagger(tags, "test_resnet", pretrained=False)


def test_a_data_module_before_its_setup_names_the_remedy(demo_tiles: Path) -> None:
    data = module(demo_tiles)
    for call in (data.train_dataloader, data.val_dataloader, data.predict_dataloader, lambda: data.frequencies,
                 lambda: data.stretch):  # fmt: skip
        with refused(says="setup"):
            call()
    assert not hasattr(data, "nothing")


def test_settings_that_do_not_fit_are_an_input_error(demo_tiles: Path) -> None:
    with refused(option="data"):
        am.RunConfig()  # type: ignore[call-arg]
    config = am.RunConfig.load("demo", {"data.root": str(demo_tiles)})
    for change, option in (
        ({"seed": -1}, "seed"),
        ({"sed": 1}, "sed"),
        ({"data": {"root": "a", "size": 1}}, "data.size"),
    ):
        with refused(option=option):
            replace(config, **change)

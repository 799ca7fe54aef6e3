"""The LightningModule: converts tiles of uint8 or uint16 to one logit for each tag, and defines training."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import nn

from amazon_ml.data.batches.dataset import Batch
from amazon_ml.data.datamodule import PlanetDataModule
from amazon_ml.data.readers.bands import name_bands
from amazon_ml.data.readers.stretch import Stretch
from amazon_ml.errors import InputError, WorkError
from amazon_ml.labels import first_difference, list_tags
from amazon_ml.models.averaging import equal, exponential
from amazon_ml.models.backbone_checks import check_names, check_scaling, check_stages, explain_lone_tile, try_sizes
from amazon_ml.models.config import ModelConfig
from amazon_ml.models.layers import optimizer_groups, stages, train_last
from amazon_ml.models.losses import make_loss
from amazon_ml.models.preprocess import check_images, preprocess
from amazon_ml.models.schedules import SCHEDULES
from amazon_ml.models.scoring import score_tiles
from amazon_ml.models.seeding import PerStepSeed, seeded
from amazon_ml.models.set_up import SetUp
from amazon_ml.models.start import start_network
from amazon_ml.models.tta import MEANS, turned
from amazon_ml.runtime import distributed
from amazon_ml.settings import build, to_plain

_T = TypeVar("_T")

#: Message for a network whose logits are not finite; it cannot recover.
DIVERGED = "the network's output is not finite: training diverged; lower `model.lr`, in a new `run`"

#: Size and channels of a network if tags are given, but these are not.
_SIZE, _CHANNELS = 256, 3


class TileTagger(pl.LightningModule):
    """A timm backbone with one logit for each tag, trained with binary cross-entropy on logits or another loss.

    By default the loss is binary cross-entropy from logits, the mean over tiles and tags (`models/losses/bce.py`).

    Under a Trainer with a `PlanetDataModule`, tags, size, channels, the frequencies of the tags, the statistics of
    the channels and the seed of the weights come from the data module, before training. Give `tags`, `size` and
    `in_chans` with loaders of your own, whose batches are dictionaries like those of `PlanetDataModule`.

    Parameters
    ----------
    tags
        The tag list, in the order of logits. By default that of the data module; the network is made then.
    backbone
        Any timm model name.
    size
        Edge of the tiles, pixels; networks for one fixed size are made for this size. By default that of the data
        module, or 256 if `tags` are given.
    in_chans
        Number of channels of a tile; by default that of the data module, or 3 if `tags` are given.
    bands
        The channels by their names, for ``weights_from``: the values that became 0 and 255, or None where the files
        hold these levels. By default the bands of the data module.
    options
        Any other option of `amazon_ml.models.config.ModelConfig`, such as ``loss="pos_weight"`` or ``lr=3e-4``.

    Raises
    ------
    InputError
        For options that cannot be, and, under a trainer, for tags, size or channels other than those of its data.

    Examples
    --------
    >>> model = TileTagger(["clear", "cloudy"], "resnet18", pretrained=False, size=64)
    >>> model.eval().probabilities(torch.zeros(4, 64, 64, 3, dtype=torch.uint8)).shape
    torch.Size([4, 2])
    """

    mean: torch.Tensor
    std: torch.Tensor
    #: Type of the levels of tiles: that of the data module, under a Trainer that has one.
    tile_dtype: Literal["uint8", "uint16"] = "uint8"
    #: Scores of the last validation at `DEFAULT_THRESHOLD`, one row for each tag.
    per_tag: pd.DataFrame

    def __init__(
        self, tags: Sequence[str] | None = None, backbone: str | None = None, *, size: int | None = None,
        in_chans: int | None = None, bands: Stretch | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        chosen = build(ModelConfig, options if backbone is None else {**options, "backbone": backbone})
        check_names(chosen)
        tags = None if tags is None else list_tags(tags)
        self.save_hyperparameters({"tags": tags, "size": size, "in_chans": in_chans, **to_plain(chosen)})
        self._held_out: list[tuple[torch.Tensor, ...]] = []
        self._untrained = True  # until weights are loaded, or the bias of the head is set from frequencies
        self._loaded = self._knows_frequencies = self._knows_statistics = False
        self._own_size = size is not None
        self._options, self._bands = chosen, bands
        if tags is not None:
            channels = _CHANNELS if bands is None else len(bands)
            self._build(tags, _SIZE if size is None else size, channels if in_chans is None else in_chans)

    @property
    def is_built(self) -> bool:
        """Whether the network is made, which needs the tags."""
        return self.hparams["tags"] is not None

    def _build(self, tags: Sequence[str], size: int, in_chans: int) -> None:
        self.hparams.update(tags=list(tags), size=size, in_chans=in_chans)
        self._hparams_initial = copy.deepcopy(self.hparams)  # for loggers
        self.configure_losses()  # first, so that a wrong loss is an error before weights are fetched
        self.configure_models()

    def configure_models(self) -> None:
        """Make the backbone, and the statistics for the normalisation of its input."""
        hp = self.hparams
        self.backbone, mean, std = start_network(
            self._options, len(hp["tags"]), hp["size"], hp["in_chans"], self._bands
        )
        # The statistics belong to the weights, so they are stored with them.
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        if hp["channels_last"]:
            self.backbone = self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        check_stages(self.backbone, hp["backbone"], hp["unfreeze"])
        self._try_sizes()  # before compiling, which would then be for the CPU
        if hp["compile"]:
            self.backbone.compile()

    def configure_losses(self) -> None:
        """Make the loss by its name."""
        hp = self.hparams
        self.loss = make_loss(hp["loss"], hp["loss_args"], hp["tags"])

    def configure_callbacks(self) -> list[pl.Callback]:
        """Return the callbacks that seed each step, and average weights on request."""
        ema, swa = self.hparams["ema"], self.hparams["swa"]
        averaging = [exponential(ema)] if ema is not None else [equal(swa)] if swa is not None else []
        # Averaging copies the network in its `setup`, so the network must exist.
        own = [SetUp(), PerStepSeed()]
        there = [type(callback) for callback in self.trainer.callbacks] if self._trainer is not None else []  # type: ignore[attr-defined]
        return [*(callback for callback in own if type(callback) not in there), *averaging]

    def setup(self, stage: str) -> None:
        """Get missing tags, size, channels, frequencies and seed from the data module of the trainer.

        Raises
        ------
        InputError
            If tags, size or channels differ from those of the data module, or are missing without one.
        """
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, PlanetDataModule):
            self.take_data(data)
            if stage == "fit":
                if self._lacks_statistics:
                    self.learn_statistics(*data.statistics())
                self.learn_frequencies(data.frequencies)
        elif not self.is_built:
            raise InputError("TileTagger has no tags", option="tags",
                             remedy="give tags=[...], or give the Trainer a PlanetDataModule")  # fmt: skip
        elif stage == "fit" and self._lacks_statistics:
            raise InputError("normalization training needs statistics of the tiles", option="normalization",
                             remedy="give the Trainer a PlanetDataModule, or call learn_statistics")  # fmt: skip
        elif stage == "fit" and self.loss.needs_frequencies and not self._knows_frequencies:
            raise InputError(
                f"the loss {self.hparams['loss']} needs the share of the training tiles with each tag", option="loss",
                remedy="give the Trainer a PlanetDataModule, or call learn_frequencies before fit",
            )  # fmt: skip

    def take_data(self, data: PlanetDataModule) -> None:
        """Make the network for the tiles and tags of a data module, or check that it fits them."""
        check_scaling(self._options, data.config.tif_limits)
        tags, size, in_chans = data.catalog.tags.names, data.hparams["size"], len(data.bands)
        self.tile_dtype, own = data.config.dtype, self.hparams
        if own["in_chans"] not in (None, in_chans):
            problem = f"TileTagger has {own['in_chans']} channels, but tiles have the bands {name_bands(data.bands)}"
            raise InputError(problem, option="in_chans", remedy="omit in_chans")
        if self._own_size and own["size"] != size:
            raise InputError(f"the size is {own['size']}, but {size} in the data module; omit it", option="size")
        if not self.is_built:
            self._bands = data.stretch
            with seeded(data.network_seed):
                self._build(tags, size, in_chans)
            return
        if (odd := first_difference(own["tags"], tags)) is not None:
            raise InputError(
                f"TileTagger has {len(own['tags'])} tags, and the data module {len(tags)}; number {odd[0]} is "
                f"{odd[1]} in the one and {odd[2]} in the other", option="tags",
                remedy="omit the tags, or give both the same list",
            )  # fmt: skip
        if own["size"] != size:
            own["size"] = size
            self._try_sizes()

    @property
    def _lacks_statistics(self) -> bool:
        # A network that was trained before keeps its own: they belong to its weights.
        return self.hparams["normalization"] == "training" and not (self._loaded or self._knows_statistics)

    def learn_statistics(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Set the normalisation of the input, which is stored with the weights.

        Parameters
        ----------
        mean, std
            Mean and standard deviation of each channel over the training tiles, in 0..1.
        """
        values = torch.tensor([list(mean), list(std)], dtype=self.mean.dtype, device=self.mean.device) * 255
        if values.shape != (2, self.hparams["in_chans"]) or not (values[1] > 0).all():
            problem = f"mean and std need {self.hparams['in_chans']} values each, and each std must be above 0"
            raise InputError(problem, option="std")
        self.mean.copy_(values[0])
        self.std.copy_(values[1])
        self._knows_statistics = True

    def learn_frequencies(self, frequencies: torch.Tensor) -> None:
        """Set the loss and, before training, the bias of the head from the frequencies of the tags.

        Parameters
        ----------
        frequencies
            Share of the training tiles with each tag, in 0..1, shape (tags,).
        """
        if frequencies.shape != (len(self.hparams["tags"]),):
            raise InputError(f"frequencies of shape {frequencies.shape} do not fit the tags", option="frequencies")
        self.loss.learn_frequencies(frequencies)
        self._knows_frequencies = True
        if self._untrained:
            self.start_from_frequencies(frequencies)
            self._untrained = False

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights, from which training continues."""
        self._untrained, self._loaded = False, True
        return super().load_state_dict(state_dict, strict, assign)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Switch pretrained weights off in the checkpoint, which holds all weights itself."""
        checkpoint["hyper_parameters"] |= {"pretrained": False, "weights": None, "weights_from": None}

    def start_from_frequencies(self, frequencies: torch.Tensor) -> None:
        """Set the bias of the head so that, before training, the probability of each tag is near its frequency."""
        heads = self.backbone.get_classifier()  # type: ignore[operator]
        for head in heads if isinstance(heads, tuple) else (heads,):  # distilled networks have two
            for layer in head.modules():
                if isinstance(layer, nn.Linear) and layer.bias is not None and len(layer.bias) == len(frequencies):
                    with torch.no_grad():
                        layer.bias.copy_(self.loss.prior_logits(frequencies))

    def forward(self, images: torch.Tensor, size: int | None = None) -> torch.Tensor:
        """Logits of a batch of tiles; the network must be there (`is_built`).

        Parameters
        ----------
        images
            uint8 or uint16 of shape (tiles, height, width, channels).
        size
            Edge to scale the tiles to, pixels; by default they are not scaled.

        Returns
        -------
        float32 logits of shape (tiles, tags).
        """
        if not self.is_built:
            raise InputError("TileTagger has no network before it has tags", option="tags",
                             remedy="give tags=[...], or fit it")  # fmt: skip
        check_images(images.dtype, images.shape, self.hparams["in_chans"], expected=self.tile_dtype)
        inputs = preprocess(images, self.mean, self.std, size)
        if not self.hparams["channels_last"]:
            inputs = inputs.contiguous()
        logits: torch.Tensor = self.backbone(inputs.to(self.mean.dtype))
        return logits.float()

    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        """Probability of each tag in 0..1, averaged over views, float32 (tiles, tags); in evaluation mode only."""
        if self.training:
            raise InputError("in training mode, batch norms learn from the tiles", remedy="call `eval()` before, and "
                             "`train()` to train on")  # fmt: skip
        views = [self(view) for view in turned(self.hparams["tta"], images)]
        return MEANS[self.hparams["tta_mean"]](views, self.loss.probabilities)

    def size_now(self) -> int | None:
        """Return the edge of the tiles in this epoch if it grows, else None."""
        sizes: dict[int, int] = self.hparams["progressive_resizing"]
        return _latest(sizes, self.current_epoch)

    def on_train_start(self) -> None:
        """Freeze the stages of this epoch, also if a resumed run begins in its middle."""
        self._unfreeze()

    def on_train_epoch_start(self) -> None:
        """Train more stages of the backbone if this epoch does."""
        self._unfreeze()

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        """Compute the loss of a batch."""
        try:
            logits = self(batch["image"], self.size_now())
        except ValueError as error:
            if (of_lone_tile := explain_lone_tile(error)) is None:
                raise
            raise of_lone_tile from error
        target, weight = batch["target"].float(), batch.get("weight")  # Lightning casts them with the weights
        loss: torch.Tensor = (
            self.loss(logits, target) if weight is None else self.loss.weighted(logits, target, weight.float())
        )
        # Not on the progress bar, for which Lightning would wait for the device in every step.
        self.log("train_loss", loss, on_step=True, on_epoch=True, batch_size=len(batch["image"]))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Copy the running statistics of the first process, which are the ones that are saved."""
        distributed.broadcast(self.buffers())

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Store logits and targets of one view of the held-out tiles."""
        self._held_out.append((batch["index"], self(batch["image"], self.size_now()), batch["target"].float()))

    def on_validation_epoch_end(self) -> None:
        """Log loss and scores over all held-out tiles of all processes, and store the scores of each tag."""
        _, logits, targets = self._gather_held_out()
        self.log("val_loss", self.loss(logits, targets), prog_bar=True)
        self._score(self.loss.probabilities(logits).cpu().numpy(), targets.cpu().numpy(), "val")

    def _gather_held_out(self) -> list[torch.Tensor]:
        """Collect positions, outputs and targets of all processes, and clear them."""
        own = [torch.cat(parts) for parts in zip(*self._held_out, strict=True)]
        self._held_out.clear()
        index, outputs, targets = distributed.gather_rows(*own)
        if not torch.isfinite(outputs).all():
            raise WorkError(DIVERGED)
        return [index, outputs, targets]

    def _score(self, p: npt.NDArray[np.float32], true: npt.NDArray[np.float32], stage: str) -> None:
        self.per_tag, scores = score_tiles(self.hparams["tags"], true, p)
        self.log(f"{stage}_f2", scores.pop("f2"), prog_bar=True)
        self.log_dict({f"{stage}_{name}": value for name, value in scores.items()})

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Store predicted probabilities, averaged over the views, and targets."""
        self._held_out.append((batch["index"], self.probabilities(batch["image"]), batch["target"].float()))

    def on_test_epoch_end(self) -> None:
        """Log scores such as F2 at 0.2 as ``test_f2``, and store the scores of each tag."""
        _, p, targets = self._gather_held_out()
        self._score(p.cpu().numpy(), targets.cpu().numpy(), "test")

    def predict_step(self, batch: Batch, batch_index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute positions and probabilities of a batch."""
        return batch["index"].cpu(), self.probabilities(batch["image"]).cpu()

    def configure_optimizers(self) -> Any:
        """Make AdamW, with a new learning rate at each step."""
        hp = self.hparams
        groups = optimizer_groups(self.backbone, hp["lr"], hp["weight_decay"], hp["layer_decay"])
        # Lightning cannot clip gradients that a fused optimizer unscales inside its step.
        clipped = self.trainer.gradient_clip_val and "mixed" in str(self.trainer.precision)
        # None instead of False: with False, PyTorch would update the parameters one by one on a GPU, too.
        optimizer = torch.optim.AdamW(groups, lr=hp["lr"], fused=None if clipped else True)
        if self.trainer.max_epochs in (None, -1) and self.trainer.max_steps == -1:
            raise InputError("the schedule of the learning rate needs a last step", option="trainer.max_epochs",
                             remedy="set `trainer.max_epochs` or `trainer.max_steps`")  # fmt: skip
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self._share_of_lr)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _try_sizes(self) -> None:
        hp = self.hparams
        try_sizes(self.backbone, hp["in_chans"], len(hp["tags"]), self._options, hp["size"])

    def _unfreeze(self) -> None:
        count = _latest(self.hparams["unfreeze"], self.current_epoch)
        if count is not None:
            train_last(self.backbone, len(stages(self.backbone)) if count == "all" else count)

    def _share_of_lr(self, step: int) -> float:
        # The number of steps is not read before the first step: that sets up the loaders, and Lightning restores the
        # state of a loader from a checkpoint only if it is set up after the checkpoint was read.
        done = step / self.trainer.estimated_stepping_batches if step else 0.0
        done = min(done, 1 - (self.hparams["swa"] or 0))
        return SCHEDULES[self.hparams["schedule"]](done, self.hparams["warmup"])


def make_tagger(
    model: ModelConfig, tags: Sequence[str], size: int, bands: Stretch, dtype: Literal["uint8", "uint16"] = "uint8"
) -> TileTagger:
    """Make a network from its options, for tiles with edges of `size` pixels, these bands and levels of this type."""
    tagger = TileTagger(list(tags), size=size, bands=bands, **to_plain(model))
    tagger.tile_dtype = dtype
    return tagger


def _latest(by_epoch: Mapping[int, _T], epoch: int) -> _T | None:
    """Return the value of the last entry up to this epoch."""
    begun = [start for start in by_epoch if start <= epoch]
    return by_epoch[max(begun)] if begun else None

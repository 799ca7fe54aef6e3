"""Options of the network: backbone and weights, loss, optimizer, averages, test-time augmentation."""

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from amazon_ml.data.readers.sensors import Sensor
from amazon_ml.settings import PathText, settings

_Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Decay = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]
#: Names of the views that prediction averages; see `amazon_ml.models.tta`.
Tta = Literal["none", "flips", "d4"]
_Epoch = Annotated[int, Field(ge=0)]


@settings
class ModelConfig:
    """Options of the network: a timm backbone with one logit for each tag, and its training.

    Parameters
    ----------
    backbone
        Any timm model name.
    pretrained
        Start from ImageNet weights, from an installed package or the hub of timm.
    weights
        File of pretrained weights, ``.safetensors`` or a PyTorch state dict, instead of those of timm; implies
        `pretrained`.
    weights_from
        Row of the table of satellite weights that `weights` are from, such as ``sentinel2_all_moco``. It gives the
        bands of the input channels, and the normalisation.
    weights_sensor
        Sensor of bands with numbers, such as B5, where their names alone do not show it, for `weights_from`:
        ``sentinel2``, ``landsat8`` (8 and 9) or ``landsat4`` (4 to 7). The same number is another band on each.
    backbone_args
        Further arguments of ``timm.create_model``, such as ``drop_path_rate``.
    progressive_resizing
        Edge in pixels that tiles are scaled to from each epoch on, such as ``{0: 64, 4: 128, 8: 256}``: an epoch on
        small tiles costs a fraction of an epoch on full tiles. Predictions always use the size of the tiles, so end
        with that size.
    mean
        Mean of each channel in 0..1, which is subtracted; by default that of the weights of the backbone.
    std
        Standard deviation of each channel in 0..1, the divisor; by default that of the weights of the backbone.
    normalization
        Where `mean` and `std` come from if they are not given: ``weights``, those that belong to the pretrained
        weights, or ``training``, those of the training tiles of the fold (of 500 at most). They are stored with the
        weights of the fold.
    loss
        Name of the loss: ``bce``, ``pos_weight``, ``label_smoothing``, ``focal``, ``asymmetric``, ``soft_f2`` or
        ``grouped_softmax``; it also defines how logits become probabilities.
    loss_args
        Arguments of the loss, such as ``{gamma: 2.0}`` for ``focal``.
    lr
        Highest learning rate of AdamW.
    weight_decay
        Decoupled weight decay of AdamW; norms and biases have none.
    layer_decay
        Factor between the learning rates of each layer and of the layer above it; the head has `lr`. Early layers of
        pretrained networks need little change: 0.7 to 0.9 suits fine-tuning.
    unfreeze
        Number of stages of the backbone that train from each epoch on, counted from the head, such as ``{0: 1, 1: 2,
        2: all}`` (Howard and Ruder 2018). The weights of the others, and the running statistics of their batch norms,
        do not change. Several devices need the strategy ``ddp_find_unused_parameters_true``.
    schedule
        ``one_cycle``, ``cosine`` (after a linear warm-up) or ``constant``; the rate changes with every batch.
    warmup
        Share of the steps in which the learning rate rises, in 0..1.
    ema
        Validate and save an exponential moving average of the weights with this decay, such as 0.999.
    swa
        Validate and save the equal average of the weights over this last share of the steps, such as 0.25 (stochastic
        weight averaging, Izmailov et al. 2018). In these steps the learning rate is constant.
    tta
        Views that prediction averages: ``none``, ``flips`` (4) or ``d4`` (8).
    tta_mean
        Value that is averaged over the views: ``probability`` or ``logit``.
    channels_last
        Store channels innermost in memory, which is faster for convolutions on CPUs and tensor cores.
    compile
        Compile the backbone with ``torch.compile``; it takes a minute, and pays on a GPU.
    """

    backbone: str = "resnet50"
    pretrained: bool = True
    weights: PathText | None = None
    weights_from: str | None = None
    weights_sensor: Sensor | None = None
    backbone_args: dict[str, Any] = field(default_factory=dict)
    progressive_resizing: dict[_Epoch, Annotated[int, Field(ge=8)]] = field(default_factory=dict)
    mean: list[float] | None = None
    std: list[_Rate] | None = None
    normalization: Literal["weights", "training"] = "weights"
    loss: str = "bce"
    loss_args: dict[str, float | None] = field(default_factory=dict)
    lr: _Rate = 1e-3
    weight_decay: _Decay = 0.05
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    unfreeze: dict[_Epoch, Annotated[int, Field(ge=1)] | Literal["all"]] = field(default_factory=dict)
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    warmup: _Share = 0.25
    ema: Annotated[float, Field(ge=0, lt=1)] | None = None
    swa: Annotated[float, Field(gt=0, le=1)] | None = None
    tta: Tta = "none"
    tta_mean: Literal["probability", "logit"] = "probability"
    channels_last: bool = True
    compile: bool = False

    @model_validator(mode="after")
    def _check_averages(self) -> "ModelConfig":
        if self.ema is not None and self.swa is not None:
            raise ValueError("cannot have both ema and swa: choose one of them")
        if self.swa is not None and self.schedule != "constant" and self.swa > 1 - self.warmup:
            # The learning rate stays where averaging begins, so it would never reach its highest value.
            raise ValueError(
                f"swa {self.swa:g} begins to average before warmup {self.warmup:g} has ended: lower one of them"
            )
        return self

    @model_validator(mode="after")
    def _check_weights(self) -> "ModelConfig":
        if self.weights_from is not None and self.weights is None:
            raise ValueError("weights_from says what a file of weights is: name the file with weights")
        return self

    @model_validator(mode="after")
    def _check_normalization(self) -> "ModelConfig":
        if self.normalization == "training":
            if self.mean is not None or self.std is not None:
                raise ValueError("normalization training finds mean and std: leave mean and std out")
            if self.weights_from is not None:
                raise ValueError("weights_from needs the scaling of its sensor: set normalization to weights")
        return self

"""Fills a backbone with published weights for satellite images, by the table of `amazon_ml.models.satellite_table`.

The channels of the first convolution are picked by the names of the bands, and the normalisation comes from the table.
Whatever does not fit is an error: nothing stays random but the head.

The scaling
-----------
The network of the table sees ``(value - mean) / std`` of the values of the files. Tiles are levels ``u`` in 0..255 (in
16 bits: a level divided by 257), for which a reader has stretched 16-bit values from its limits:
``value = low + u / 255 * (high - low)``. So the same input is ``(u / 255 - mean') / std'`` with::

    mean' = (mean - low) / (high - low)        std' = std / (high - low)

up to the rounding to 256 or 65,536 levels, and to values beyond the limits, which are clipped. Where a table expects
levels of a picture, 0..255, ``mean' = mean / 255`` and ``std' = std / 255``.
"""

import difflib
import logging
import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import nn

from amazon_ml.data.readers.sensors import SENSORS, Sensor, is_numbered, is_of_landsat, meanings, shown_sensor
from amazon_ml.data.readers.stretch import Stretch
from amazon_ml.errors import InputError, listed
from amazon_ml.models.config import ModelConfig
from amazon_ml.models.satellite_table import SATELLITE_WEIGHTS, SatelliteWeights, WeightsBand
from amazon_ml.models.state_file import State, check_weights_file, read_state

log = logging.getLogger(__name__)

#: Reflectance times 10,000 lies within 0 to about 20,000. Limits that are all closer, or all higher, are of other
#: values, such as reflectance in 0..1, or levels of the whole range of 16 bits.
_LEAST_SPAN, _HIGHEST = 10.0, 40_000.0


def find_weights(name: str, backbone: str) -> SatelliteWeights:
    """Find a row of the table by its name, and check that it has weights for a backbone.

    Raises
    ------
    InputError
        If the table lacks the name, or the row the backbone; the message lists those there are.
    """
    option = "model.weights_from"
    row = SATELLITE_WEIGHTS.get(name)
    if row is None:
        near = difflib.get_close_matches(name, SATELLITE_WEIGHTS, n=1)
        remedy = f"did you mean {near[0]}? There are " if near else "there are "
        problem = f"`{option}`: the table of satellite weights lacks {name!r}"
        raise InputError(problem, option=option, remedy=remedy + ", ".join(SATELLITE_WEIGHTS))
    if backbone.partition(".")[0] not in row.files:
        raise InputError(f"`model.backbone`: {name} has no weights for {backbone}", option="model.backbone",
                         remedy=f"it has them for {', '.join(row.files)}")  # fmt: skip
    return row


def pick_channels(row: SatelliteWeights, bands: Iterable[str], sensor: Sensor | None = None) -> list[int]:
    """Find each band of the tiles among the input channels of the weights: the channel that saw the same light.

    Parameters
    ----------
    row
        The weights.
    bands
        Names of the bands.
    sensor
        Sensor of bands with numbers; by default what their names show.

    Raises
    ------
    InputError
        If the weights lack a band, with the list of those there are, two bands are the same one, or it is not known
        which sensor a number belongs to: B5 is near infrared on Landsat 8, and red edge on Sentinel-2.
    """
    names = list(bands)
    own = meanings((band.name for band in row.bands), "sentinel2")
    places = {light: at for at, light in enumerate(own.values())}
    lights = meanings(names, _sensor_of(names, sensor))
    picked: dict[int, str] = {}
    for band, light in lights.items():
        at = None if light is None else places.get(light)
        if at is None:
            raise InputError(
                f"`data.bands`: the weights {row.name} were not trained on the band {band}", option="data.bands",
                remedy=f"choose among {', '.join(each.name for each in row.bands)}, in any order",
            )  # fmt: skip
        if at in picked:
            problem = f"`data.bands`: {picked[at]} and {band} are one band of the weights {row.name}"
            raise InputError(problem, option="data.bands", remedy="name it once")
        picked[at] = band
    return list(picked)


def _sensor_of(names: Sequence[str], given: Sensor | None) -> Sensor | None:
    """Find the sensor of bands with numbers, by the option or by their names."""
    numbered, shown = [name for name in names if is_numbered(name)], shown_sensor(names)
    sensor, option = given or shown, "model.weights_sensor"
    if numbered and sensor is None:
        raise InputError(
            f"`data.bands`: the names do not show the sensor, and {numbered[0]} is another band on each", option=option,
            remedy=f"name the sensor with `{option}` ({', '.join(SENSORS)}), or the bands by their light, such as nir",
        )  # fmt: skip
    if given == "sentinel2" and (odd := [name for name in numbered if is_of_landsat(name)]):
        raise InputError(f"`{option}` is {given}, but {odd[0]} is the name of a band of Landsat", option=option,
                         remedy="name the right sensor")  # fmt: skip
    return sensor


def check_weights(model: ModelConfig, bands: Sequence[str]) -> None:
    """Check the file of weights and its row of the table before any work: name, backbone and bands."""
    check_weights_file(model.weights)
    if model.weights_from is not None:
        pick_channels(find_weights(model.weights_from, model.backbone), bands, model.weights_sensor)


def input_scaling(
    row: SatelliteWeights, stretch: Stretch, sensor: Sensor | None = None
) -> tuple[list[float], list[float]]:
    """Compute the mean and the standard deviation of each channel from those of the table, as `model.mean` takes them.

    Parameters
    ----------
    row
        The weights.
    stretch
        By the name of each band, in the order of the channels, the values that became 0 and 255; None where the files
        hold levels.
    sensor
        As `pick_channels` takes it.

    Raises
    ------
    InputError
        If the weights expect reflectance, and the tiles do not hold it.
    """
    bands = [row.bands[at] for at in pick_channels(row, stretch, sensor)]
    pairs = list(zip(stretch, bands, stretch.values(), strict=True))
    _check_reflectance(row, [(name, limits) for name, band, limits in pairs if band.unit == "reflectance"])
    scaled = [_levels(band, limits) for _, band, limits in pairs]
    return [mean for mean, _ in scaled], [std for _, std in scaled]


def _levels(band: WeightsBand, limits: tuple[float, float] | None) -> tuple[float, float]:
    if band.unit == "picture" or limits is None:
        return band.mean / 255, band.std / 255
    low, high = limits
    return (band.mean - low) / (high - low), band.std / (high - low)


def _check_reflectance(row: SatelliteWeights, named: list[tuple[str, tuple[float, float] | None]]) -> None:
    """Check that bands hold reflectance times 10,000, as far as their limits tell it."""
    own = "or give `model.mean` and `model.std` of each channel yourself"
    levels = [name for name, limits in named if limits is None]
    if levels:
        raise InputError(
            f"the weights {row.name} expect reflectance times 10,000, but the tiles hold levels of 8 bits in "
            f"{', '.join(levels)}", option="model.weights_from",
            remedy=f"read these bands from 16-bit files (`data.rgb_source` tif), choose weights for pictures "
            f"({', '.join(_for_pictures())}), {own}",
        )  # fmt: skip
    limits = [each for _, each in named if each is not None]
    if limits and (all(high - low < _LEAST_SPAN for low, high in limits) or all(high > _HIGHEST for _, high in limits)):
        low, high = limits[0]
        raise InputError(
            f"the weights {row.name} expect reflectance times 10,000, but the tiles hold other values: "
            f"{low:g} to {high:g} in {named[0][0]}", option="model.weights_from",
            remedy=f"convert the tiles, set `data.tif_limits`, {own}",
        )  # fmt: skip


def _for_pictures() -> list[str]:
    return [row.name for row in SATELLITE_WEIGHTS.values() if {band.unit for band in row.bands} == {"picture"}]


def fill_backbone(
    backbone: nn.Module, row: SatelliteWeights, weights: str, bands: Iterable[str], sensor: Sensor | None = None
) -> None:
    """Fill all of a backbone but its head with weights of the table.

    Parameters
    ----------
    backbone
        A network of timm with one input channel for each band.
    row
        The weights.
    weights
        Their file.
    bands
        Names of the bands, in the order of the input channels.
    sensor
        As `pick_channels` takes it.

    Raises
    ------
    InputError
        If the file cannot be read, or anything in it does not fit: keys missing, keys too many, other shapes.
    """
    config = backbone.pretrained_cfg
    assert isinstance(config, Mapping)
    heads = config["classifier"] or ()
    inside = tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads))
    stem = f"{config['first_conv']}.weight"
    if stem not in dict(backbone.named_parameters()):
        raise InputError(f"timm does not say which layer of {config['architecture']} has the input channels",
                         option="model.backbone")  # fmt: skip
    state = _without_prefix(row, read_state(weights), stem)
    state = {key: value for key, value in state.items() if not key.startswith(inside) and key not in row.ignored}
    if stem in state and state[stem].ndim == 4 and state[stem].shape[1] == len(row.bands):
        state[stem] = state[stem][:, pick_channels(row, bands, sensor)]
    elif stem in state:
        raise InputError(
            f"the file is not of {row.name}: {stem} has the shape {tuple(state[stem].shape)}, not {len(row.bands)} "
            "input channels", file=weights, option="model.weights", remedy="choose another row of the table",
        )  # fmt: skip
    if "pos_embed" in state:
        state["pos_embed"] = _resampled(state["pos_embed"], backbone)
    _check_fits(backbone, row, state, weights, inside, architecture=config["architecture"])
    backbone.load_state_dict(state, strict=False)
    log.info("%s: weights %s (%s, licence %s); the input channels are those of %s", weights, row.name, row.trained_on,
             row.licence, ", ".join(bands))  # fmt: skip


def _without_prefix(row: SatelliteWeights, state: State, stem: str) -> State:
    """Return the tensors of the network itself, by the keys of timm."""
    prefix = next((each for each in row.prefixes if each + stem in state), "")
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _resampled(embedding: torch.Tensor, backbone: nn.Module) -> torch.Tensor:
    """Scale the embeddings of places to the grid of a transformer; unchanged if they form no square."""
    first = 0 if getattr(backbone, "no_embed_class", False) else getattr(backbone, "num_prefix_tokens", 1)
    grid = getattr(getattr(backbone, "patch_embed", None), "grid_size", None)
    old = embedding.shape[1] - first if embedding.ndim == 3 else 0
    if grid is None or old < 1 or math.isqrt(old) ** 2 != old:
        return embedding
    scaled: torch.Tensor = resample_abs_pos_embed(embedding, new_size=list(grid), num_prefix_tokens=first)
    return scaled


def _check_fits(
    backbone: nn.Module,
    row: SatelliteWeights,
    state: State,
    weights: str,
    inside: tuple[str, ...],
    *,
    architecture: str,
) -> None:
    """Check that a file has each tensor of a backbone but those of its head, in its shape, and no other."""
    own = {key: tuple(value.shape) for key, value in backbone.state_dict().items() if not key.startswith(inside)}
    # A counter of batches changes nothing with a fixed momentum, and older files lack it.
    lacking = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    more = [key for key in state if key not in own]
    shapes = [f"{key} {tuple(state[key].shape)}, not {own[key]}" for key in own if key in state
              and tuple(state[key].shape) != own[key]]  # fmt: skip
    faults = [
        f"it lacks {len(lacking)} of {len(own)} tensors ({listed(lacking)})" if lacking else "",
        f"it has {len(more)} that the network lacks ({listed(more)})" if more else "",
        f"{len(shapes)} have another shape ({listed(shapes)})" if shapes else "",
    ]
    if any(faults):
        raise InputError(
            f"the weights do not fit the backbone as {row.name}: {'; '.join(filter(None, faults))}",
            file=weights, option="model.weights",
            remedy=f"download {row.files.get(architecture) or ', '.join(row.files.values())}",
        )  # fmt: skip

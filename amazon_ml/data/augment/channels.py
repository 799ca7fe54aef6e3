"""Checks steps of augmentation against the bands of the tiles, of which the steps themselves know only the number."""

import logging
from collections.abc import Sequence
from typing import Any

from amazon_ml.data.augment.augment import Augmentation, Step
from amazon_ml.data.config import DataConfig
from amazon_ml.data.readers.indices import INDICES
from amazon_ml.data.readers.named import RGB_NAMES
from amazon_ml.data.readers.sensors import SENSORS, is_numbered, meanings, shown_sensor
from amazon_ml.errors import InputError

log = logging.getLogger(__name__)

#: The argument of a step of weather that has a number for each band; by default its three are red, green and blue.
_COLOURS = {"Haze": "airlight", "Clouds": "colour"}
#: Steps of albumentations that change how bright a channel is.
_BRIGHTNESS = frozenset((
    "AutoContrast", "CLAHE", "ColorJitter", "Equalize", "HueSaturationValue", "Illumination", "InvertImg",
    "MultiplicativeNoise", "PlanckianJitter", "PlasmaBrightnessContrast", "PlasmaShadow", "RandomBrightnessContrast",
    "RandomGamma", "RandomShadow", "RandomToneCurve", "RGBShift", "Solarize",
))  # fmt: skip
#: Steps of albumentations that take three channels, as red, green and blue.
_RGB = frozenset((
    "ColorJitter", "HEStain", "HueSaturationValue", "ISONoise", "PlanckianJitter", "RandomFog", "RandomGravel",
    "RandomRain", "RandomSnow", "RandomSunFlare", "Spatter", "ToGray", "ToSepia",
))  # fmt: skip


def check_steps(config: DataConfig, bands: Sequence[str], augmentation: Augmentation) -> None:
    """Check that the steps fit the type of the tiles, and those of weather the bands.

    Raises
    ------
    InputError
        For steps but D4 on other tiles than uint8. For Haze and Clouds where channels 0 to 2 are known not to be red,
        green and blue and the user gives no numbers; and for Clouds that would change an index as if it were light.
    """
    if config.dtype != "uint8" and not augmentation.only_symmetry:
        problem = f"`data.augment`: tiles of {config.dtype} are turned and mixed alone"
        raise InputError(problem, option="data.augment", remedy="leave D4 as the only step, or use `data.dtype` uint8")
    for name, arguments in _named(config.augment):
        if name not in _COLOURS:
            continue
        argument = _COLOURS[name]
        if argument not in arguments and _begin_with_others(bands, config.band_names or bands):
            raise InputError(
                f"`data.augment`: {name} has colours for red, green and blue, but the first bands are "
                f"{', '.join(bands[:3])}", option="data.augment",
                remedy=f"put red, green and blue first in `data.bands`, or give {name} `{argument}`, a number for each "
                "band",
            )  # fmt: skip
        indices = [band for band in bands if band in INDICES]
        own = len(arguments.get(argument, ())) == len(bands) and arguments.get("shadow") == 0
        if name == "Clouds" and indices and not own:
            raise InputError(
                f"`data.augment`: Clouds would change {', '.join(indices)} as if it were light", option="data.augment",
                remedy="give Clouds `shadow` 0 and `colour`, a number for each band; or omit the step or the index",
            )  # fmt: skip


def warn_of_steps(config: DataConfig, bands: Sequence[str]) -> None:
    """Warn of steps of albumentations that change indices as if they were light, or take other bands for colours."""
    indices, names = [band for band in bands if band in INDICES], [name for name, _ in _named(config.augment)]
    coloured = [name for name in names if name in _RGB]
    if coloured and _begin_with_others(bands, config.band_names or bands):
        log.warning("`data.augment`: %s takes the bands for red, green and blue, but they are %s",
                    ", ".join(coloured), ", ".join(bands))  # fmt: skip
    brighter = [name for name in names if name in _BRIGHTNESS]
    if indices and brighter:
        log.warning("`data.augment`: %s also changes %s, as if it were light: the values of an index mean something by "
                    "themselves", ", ".join(brighter), ", ".join(indices))  # fmt: skip


def _named(steps: Sequence[Step]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, arguments) for step in steps for name, arguments in step.items()]


def _begin_with_others(bands: Sequence[str], names: Sequence[str]) -> bool:
    """Whether channels 0 to 2 are known not to be red, green and blue: by common names, or by numbers of any sensor."""
    shown = shown_sensor(names)
    sensors = [shown] if shown or not any(map(is_numbered, bands)) else list(SENSORS)
    readings = [meanings(bands, sensor) for sensor in sensors]
    return len(bands) < 3 or not any(
        all(lights[band] in (None, light) for band, light in zip(bands, RGB_NAMES, strict=False)) for lights in readings
    )

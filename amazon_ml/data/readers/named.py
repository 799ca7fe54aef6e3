"""Reads bands by the names of a sensor: of one file for all, or of a file for each band, with several resolutions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from amazon_ml.data.config import MAX_PIXELS
from amazon_ml.data.readers.arrays import read_npy
from amazon_ml.data.readers.band_files import ARRAY_SUFFIX, BandFiles, check_template, lacks_band, listed_all
from amazon_ml.data.readers.band_names import UNNAMED
from amazon_ml.data.readers.band_order import Bands, both, without_values
from amazon_ml.data.readers.images import TIF_SUFFIXES, Mask, Raw, read_picture
from amazon_ml.data.readers.indices import INDICES
from amazon_ml.data.readers.sensors import common_names, find_name, find_spelling, is_alpha, meanings
from amazon_ml.data.readers.tif import Tif, is_mask, open_tif, valid_values
from amazon_ml.errors import InputError

#: Names of the bands of an image that is no TIF.
RGB_NAMES: tuple[str, ...] = ("red", "green", "blue")
#: Types that OpenCV scales; others are scaled as float64.
_SCALED = ("uint8", "uint16", "int16", "float32", "float64")


class Layer(NamedTuple):
    """What a band is in each file.

    Parameters
    ----------
    dtype
        Type of its values.
    ratio
        Edge of a pixel, in pixels of the finest band.
    """

    dtype: str
    ratio: float


@dataclass(frozen=True)
class NamedBands:
    """Where the bands of a tile are found, by name.

    Parameters
    ----------
    inputs
        For each channel, the bands of the files that it is made of: one, or those of an index.
    names
        Names of all bands of a file in its order. If empty, the file describes its bands.
    described
        Descriptions of the bands in the files that the reader was fitted to, where `names` are given.
    files
        The files of a tile; by default one TIF.
    layers
        Type and resolution of each band in the files that the reader was fitted to; other files are an error.
    reflectance
        The value that means a reflectance of 1, for indices that need it.
    """

    inputs: Mapping[str, tuple[str, ...]]
    names: tuple[str, ...] = ()
    described: tuple[str, ...] = ()
    files: BandFiles | None = None
    layers: Mapping[str, Layer] = field(default_factory=dict)
    reflectance: float | None = None

    @property
    def needed(self) -> tuple[str, ...]:
        """The bands that are read, each once."""
        return tuple(dict.fromkeys(name for names in self.inputs.values() for name in names))

    @property
    def scaled(self) -> tuple[str, ...]:
        """The bands that become channels themselves, not by an index."""
        return tuple(names[0] for names in self.inputs.values() if len(names) == 1)

    def raw(self, path: str, max_pixels: int = MAX_PIXELS) -> Bands:
        """Read the bands of a tile, unscaled, in the resolutions of their files, and check that they are as expected.

        Parameters
        ----------
        path
            The file of the tile, or of its first band.
        max_pixels
            Largest number of pixels of a file.
        """
        if self.files is not None and self.files.each_band:
            bands, file_of = self._of_files(self.files.of(path), max_pixels)
        else:
            bands, file_of = self._of_one(path, max_pixels), dict.fromkeys(self.needed, path)
        self._check_layers(bands, file_of)
        return bands

    def read(self, path: str, max_pixels: int = MAX_PIXELS, nodata: Sequence[float] = ()) -> Bands:
        """Read the bands of a tile, unscaled, in the resolution of the finest one.

        Parameters
        ----------
        path, max_pixels
            As `raw` takes them.
        nodata
            Values that mean "no data" where a pixel has them in all bands of the finest resolution.
        """
        raw = self.raw(path, max_pixels)
        height, width = finest_shape(raw)
        shown = without_values(finest(raw).pixels, nodata) if nodata else None
        pixels, valid = {}, {}
        for name, band in raw.pixels.items():
            pixels[name], own = _enlarged(band, raw.valid[name], height, width)
            valid[name] = both(own, shown)
        return Bands(pixels, valid)

    def _of_one(self, path: str, max_pixels: int) -> Bands:
        opened = open_file(Path(path), len(self.names), max_pixels)
        names, alpha = _names_of(opened, self.names, path)
        if self.names and self.layers and opened.descriptions != self.described:
            _check_agree(self.names, opened.descriptions, path)
        shown = None if alpha is None else opened.pixels[..., alpha] != 0
        pixels, valid, scales = {}, {}, {}
        for band in self.needed:
            found = find_spelling(band, names)
            if found is None:
                raise lacks_name(band, names, path)
            at = names.index(found)
            pixels[band] = opened.pixels[..., at]
            valid[band] = both(None if opened.valid is None else opened.valid[..., at], shown)
            if opened.scales:
                scales[band] = opened.scales[at]
        return Bands(pixels, valid, scales)

    def _of_files(self, files: Mapping[str, str], max_pixels: int) -> tuple[Bands, dict[str, str]]:
        pixels, valid, scales = {}, {}, {}
        for band in self.needed:
            file = files[band]
            try:
                opened = open_file(Path(file), 1, max_pixels)
            except InputError:
                if Path(file).exists() or self.files is None:
                    raise
                raise lacks_band(self.files, band, self.files.bands_beside(files[self.files.bands[0]]), file) from None
            alpha = opened.alpha if opened.pixels.shape[-1] == 2 else None
            if opened.pixels.shape[-1] - (alpha is not None) != 1:
                raise InputError(f"the file holds {opened.pixels.shape[-1]} bands, and `data.files` needs one for each "
                                 "file", file=file, option="data.files",
                                 remedy="split it, or leave {band} out of `data.files`")  # fmt: skip
            at = 1 if alpha == 0 else 0
            shown = None if alpha is None else opened.pixels[..., alpha] != 0
            pixels[band] = opened.pixels[..., at]
            valid[band] = both(None if opened.valid is None else opened.valid[..., at], shown)
            if opened.scales:
                scales[band] = opened.scales[at]
        return Bands(pixels, valid, scales), dict(files)

    def _check_layers(self, bands: Bands, files: Mapping[str, str]) -> None:
        """Check type and resolution of each band; without layers, only that the bands show one place."""
        whole = finest_shape(bands)
        for name, band in bands.pixels.items():
            fault = self.layer_fault(name, _name_of(band.dtype), band.shape, whole, files[name])
            if fault is not None:
                raise fault

    def layer_fault(
        self, name: str, dtype: str, shape: tuple[int, ...], whole: tuple[int, int], file: str
    ) -> InputError | None:
        """Compare type and resolution of a band with those of the training tiles.

        Parameters
        ----------
        name
            Name of the band.
        dtype, shape
            Type of its values, and its height and width.
        whole
            Height and width of the finest band of the tile.
        file
            Its file.
        """
        layer = self.layers.get(name)
        if layer is not None and layer.dtype != dtype:
            problem = f"band {name} holds {dtype} values, but the training tiles hold {layer.dtype}"
            return InputError(problem, file=file, remedy="convert it, or exclude it")
        ratio = _ratio(shape, whole) if layer is None else layer.ratio
        # Edges are whole pixels, so that of a coarse band may be up to one of its pixels longer or shorter.
        if all(abs(edge * ratio - finest) < ratio for edge, finest in zip(shape, whole, strict=True)):
            return None
        other = f", as in the training tiles, where it is {ratio:g} times coarser" if layer else ""
        problem = f"band {name} has {shape[1]} x {shape[0]} pixels, which do not fit the"
        return InputError(f"{problem} {whole[1]} x {whole[0]} of the finest band{other}", file=file,
                          remedy="download it again, or exclude the tile")  # fmt: skip


def named_from(stored: Any) -> NamedBands:
    """Make it from the JSON of its ``dataclasses.asdict``; a `ValueError` or an `InputError` if it describes none."""
    files = None
    if stored["files"] is not None:
        files = BandFiles(str(stored["files"]["template"]), tuple(map(str, stored["files"]["bands"])))
        check_template(files.template)
    inputs = {str(band): tuple(map(str, names)) for band, names in stored["inputs"].items()}
    odd = [band for band, names in inputs.items() if not names or (len(names) > 1 and band not in INDICES)]
    odd += [band for band, names in inputs.items() if len(names) > 1 and len(names) != len(INDICES[band].bands)]
    odd += [band for band, names in inputs.items() if len(names) == 1 and band in INDICES and not _is_same(band, names)]
    if odd:
        raise ValueError(f"the inputs of {odd[0]}")
    reflectance = stored["reflectance"]
    named = NamedBands(
        inputs, tuple(map(str, stored["names"])), tuple(map(str, stored["described"])), files,
        {str(name): Layer(str(dtype), float(ratio)) for name, (dtype, ratio) in stored["layers"].items()},
        None if reflectance is None else float(reflectance),
    )  # fmt: skip
    if files is not None and files.each_band and not set(files.bands) >= set(named.needed):
        raise ValueError(f"files of the bands {files.bands}, but the bands {named.needed}")
    return named


def _is_same(band: str, names: tuple[str, ...]) -> bool:
    return find_spelling(band, names) is not None


def find_inputs(
    bands: Sequence[str], names: Sequence[str], file: str, *, whole: bool = True
) -> dict[str, tuple[str, ...]]:
    """Find the bands of a file that each channel is made of.

    Parameters
    ----------
    bands
        Names of channels: bands of the file, by any of their names, or indices. A band of the name of an index wins.
    names
        Names of the bands of the file.
    file
        The file, for messages.
    whole
        Whether a band may be found by another spelling or a common name, as within one file.

    Raises
    ------
    InputError
        If there is no such band, or two channels are the same one.
    """
    inputs: dict[str, tuple[str, ...]] = {}
    for band in bands:
        found = (find_name(band, names) if whole else None) or (band if band in names else None)
        if found is None and band in INDICES:
            inputs[band] = _inputs_of(band, names, file)
        elif found is None:
            raise lacks_name(band, names, file)
        else:
            inputs[band] = (found,)
    plain = [found[0] for found in inputs.values() if len(found) == 1]
    twice = [band for band, found in inputs.items() if len(found) == 1 and plain.count(found[0]) > 1]
    if twice:
        problem = f"`data.bands` names band {inputs[twice[0]][0]} more than once: {', '.join(twice)}"
        raise InputError(problem, file=file, option="data.bands")
    return inputs


def names_in(opened: Tif, given: Sequence[str], file: str) -> list[str]:
    """Name the bands of a file, without its transparency."""
    names, alpha = _names_of(opened, given, file)
    return [name for at, name in enumerate(names) if at != alpha]


def lacks_name(band: str, names: Sequence[str], file: str) -> InputError:
    """Make the error for a band that a file does not have."""
    held = listed_all(name or UNNAMED for name in names)
    several = [name for name in names if find_spelling(band, [name])]
    problem = f"{listed_all(several)} may all be {band}" if len(several) > 1 else f"the file has no band {band}"
    remedy = "name other bands, or name those of the files in their order with `data.band_names`"
    return InputError(f"{problem}; it has {held}", file=file, option="data.bands", remedy=remedy)


def open_file(path: Path, count: int, max_pixels: int = MAX_PIXELS) -> Tif:
    """Read all bands of a TIF, an array or an image; `count` is the number of bands, 0 where that is not known."""
    suffix = path.suffix.lower()
    if suffix in TIF_SUFFIXES:
        return open_tif(path, max_pixels)
    if suffix == ARRAY_SUFFIX:
        if not count:
            raise InputError("an array does not name its bands", file=path, option="data.band_names",
                             remedy="name them in their order with `data.band_names`")  # fmt: skip
        values = read_npy(path, count, max_pixels)
        return Tif(values, valid_values(values), UNNAMED * values.shape[-1], (), ("",) * values.shape[-1])
    picture = read_picture(path, max_pixels)
    valid = None if picture.valid is None else np.repeat(picture.valid[..., None], 3, axis=-1)
    values, names = picture.pixels, RGB_NAMES
    if count == 1 and (values == values[..., :1]).all():  # grey, which is read as three equal channels
        values, valid, names = values[..., :1], None if valid is None else valid[..., :1], ("",)
    return Tif(values, valid, UNNAMED * len(names), (), names)


def finest_shape(bands: Bands) -> tuple[int, int]:
    """Return height and width of the band with most pixels."""
    height, width = max((band.shape for band in bands.pixels.values()), key=lambda shape: shape[0] * shape[1])
    return height, width


def finest(bands: Bands) -> Tif:
    """Put the bands with most pixels into one array."""
    shape = finest_shape(bands)
    names = [name for name, band in bands.pixels.items() if band.shape == shape]
    valid = [bands.valid[name] for name in names]
    some = any(one is not None for one in valid)
    stacked = np.stack([np.ones(shape, dtype=bool) if one is None else one for one in valid], axis=-1) if some else None
    return Tif(np.stack([bands.pixels[name] for name in names], axis=-1), stacked, UNNAMED * len(names))


def layer_of(band: Raw, height: int, width: int) -> Layer:
    """Describe a band beside the finest one, of `height` and `width` pixels."""
    return Layer(_name_of(band.dtype), _ratio(band.shape, (height, width)))


def _ratio(shape: tuple[int, ...], whole: tuple[int, int]) -> float:
    return max(whole[0] / shape[0], whole[1] / shape[1])


@cache
def _name_of(dtype: "np.dtype[Any]") -> str:
    return str(dtype)  # numpy puts the name together each time, which takes longer than to look at twelve bands


def _inputs_of(index: str, names: Sequence[str], file: str) -> tuple[str, ...]:
    common = common_names(names)
    lacking = [one for one in INDICES[index].bands if one not in common]
    if lacking:
        raise InputError(
            f"{index} needs the bands {', '.join(INDICES[index].bands)}, and no band is known to be {lacking[0]} among "
            f"{listed_all(name or UNNAMED for name in names)}", file=file, option="data.bands",
            remedy="leave the index out, or name the bands of the files in their order with `data.band_names`, such as "
            "blue, green, red, nir",
        )  # fmt: skip
    return tuple(common[one] for one in INDICES[index].bands)


def _names_of(opened: Tif, given: Sequence[str], file: str) -> tuple[list[str], int | None]:
    """Return the name of each band of a file, and the position of transparency."""
    count, alpha = opened.pixels.shape[-1], opened.alpha
    texts = list(opened.descriptions or ("",) * count)
    if alpha is not None and is_mask(opened.pixels[..., alpha]) is False:
        alpha = None  # data under the name transparency, as in the competition's files
    if given:
        if len(given) == count:
            return list(given), None
        if alpha is None or len(given) != count - 1:
            problem = f"the file has {count} band{'s' * (count != 1)}, but `data.band_names` names {len(given)}"
            described = f": it describes {listed_all(text or UNNAMED for text in texts)}" if any(texts) else ""
            raise InputError(problem, file=file, option="data.band_names", remedy=f"name all {count} bands of the file "
                             f"in their order{described}")  # fmt: skip
        return [*given[:alpha], "", *given[alpha:]], alpha
    if alpha is not None and texts[alpha] and not is_alpha(texts[alpha]):
        alpha = None
    if not any(text for at, text in enumerate(texts) if at != alpha):
        raise InputError("the file does not name its bands", file=file, option="data.band_names",
                         remedy="name them in their order with `data.band_names`")  # fmt: skip
    return texts, alpha


def contradiction(given: Sequence[str], described: Sequence[str]) -> tuple[str, str] | None:
    """Find a band that a file describes as one, and `given` names as another.

    Either `given` has the description elsewhere, or both name another light, such as B02 and red.
    """
    lights, given_lights = meanings(described), meanings(given)
    for text, name in zip(described, given, strict=False):
        named = find_spelling(text, given) if text else None
        if named is not None and named != name:
            return text, name
        light, given_light = lights[text], given_lights[name]
        # The narrow near infrared of Sentinel-2 lies within the wide one.
        if light and given_light and light != given_light and {light, given_light} != {"nir", "nir08"}:
            return text, name
    return None


def _check_agree(given: Sequence[str], described: Sequence[str], file: str) -> None:
    found = contradiction(given, described)
    if found:
        problem = f"the file describes as {found[0]} the band that `data.band_names` names {found[1]}"
        raise InputError(f"{problem}, unlike the training tiles", file=file,
                         remedy="put its bands into that order, or exclude it")  # fmt: skip


def _enlarged(band: Raw, valid: Mask | None, height: int, width: int) -> tuple[Raw, Mask | None]:
    """Scale a band to the size of the finest one, bilinearly; a pixel is valid where all that it is made of is."""
    if band.shape == (height, width):
        return band, valid
    kept = band if valid is None else np.where(valid, band, np.zeros((), dtype=band.dtype))
    values = np.ascontiguousarray(kept if str(band.dtype) in _SCALED else kept.astype(np.float64))
    large = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    if large.dtype != band.dtype:
        large = (np.rint(large) if band.dtype.kind in "ui" else large).astype(band.dtype)
    if valid is None:
        return large, None
    share = cv2.resize(valid.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return large, share > 1 - 1e-4

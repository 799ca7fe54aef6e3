"""Weather as a satellite sees it: haze, and clouds with their shadows.

Both change whether the weather tags of a tile are true: use little of them, or train without those tags.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import albumentations
import cv2
import numpy as np
import numpy.typing as npt

from amazon_ml.data.readers.images import Image

#: A number for each pixel: float32 (height, width).
Field = npt.NDArray[np.float32]


class Haze(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """A veil of scattered light, ``I = J t + A (1 - t)``, with a transmission t that varies smoothly over the tile.

    This is the model of Koschmieder (1924) in the form of Narasimhan and Nayar (2002). RandomFog of albumentations is
    fog before a camera on the ground: blurred discs around the middle of the picture, for three bands only; at 256 px
    it takes about eighty times as long.

    Parameters
    ----------
    strength
        Range of 1 - t where the veil is thickest, in 0..1.
    unevenness
        Share by which the veil is thinner where it is thinnest, in 0..1.
    airlight
        A, for each band, 0..255. The default fits the JPEGs of the competition, in which haze is grey, not blue: tiles
        with the tag haze average 117, 124, 114, which is the 68, 76, 65 of clear ones seen through t = 0.63. Further
        bands are not changed, since near infrared passes haze better (Angstrom 1929); to veil all bands, give a number
        for each. The default is for red, green and blue in this order; `check_steps` refuses it on other bands.
    p
        Share of the tiles with haze.
    """

    def __init__(
        self,
        strength: Sequence[float] = (0.1, 0.4),
        unevenness: float = 0.3,
        airlight: Sequence[float] = (200, 205, 197),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        _check_shares("strength", strength)
        _check_shares("unevenness", (0, unevenness))
        self.strength, self.unevenness, self.airlight = strength, unevenness, airlight

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the veil, 1 - t."""
        thickest = np.float32(self.random_generator.uniform(*self.strength))
        height, width = params["shape"][:2]
        noise = smooth_noise(height, width, self.random_generator, cells=3)
        return {"veil": thickest * (1 - np.float32(self.unevenness) * noise)}

    def apply(self, img: Image, veil: Field, **params: Any) -> Image:
        """Blend the veil over a tile."""
        return lay(img, self.airlight, veil)


class Clouds(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """White clouds with soft edges, cut out of smooth noise, and their shadows beside them.

    albumentations has no clouds: its dropouts have hard edges, and its shadows have no clouds.

    Parameters
    ----------
    coverage
        Range of the share of a tile under clouds of at least half their full thickness, in 0..1.
    softness
        Width of the edges, as a share of the range of the noise; more than 0.
    shadow
        Share of light that a shadow takes away, in 0..1.
    colour
        Value of the clouds for each band, 0..255. Further bands use the last number: clouds are as bright in near
        infrared. An index such as NDVI needs its own number, and no shadow; `check_steps` refuses Clouds without.
    p
        Share of the tiles with clouds.
    """

    def __init__(
        self,
        coverage: Sequence[float] = (0.05, 0.3),
        softness: float = 0.25,
        shadow: float = 0.4,
        colour: Sequence[float] = (240, 236, 236),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        _check_shares("coverage", coverage)
        _check_shares("shadow", (0, shadow))
        if softness <= 0:
            raise ValueError(f"softness must be more than 0; got {softness}")
        self.coverage, self.softness, self.shadow, self.colour = coverage, softness, shadow, colour

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the thickness of the clouds, and of the clouds that cast the shadows, at each pixel."""
        height, width = params["shape"][:2]
        rng = self.random_generator
        coverage = rng.uniform(*self.coverage)
        # One sky, larger than the tile, is seen from two places: from the satellite and from the sun.
        margin = max(height, width) // 8
        sky = smooth_noise(height + margin, width + margin, rng, cells=4, octaves=5)
        clouds, shadows = (sky[y : y + height, x : x + width] for y, x in rng.integers(margin + 1, size=(2, 2)))
        step = max(1, min(height, width) // 64)  # a few thousand pixels of smooth noise are enough for its quantile
        edge = np.quantile(clouds[::step, ::step], 1 - coverage)
        return {"clouds": self._thickness(clouds, edge), "shadows": self._thickness(shadows, edge)}

    def apply(self, img: Image, clouds: Field, shadows: Field, **params: Any) -> Image:
        """Shade the ground, then blend the clouds over it."""
        bands = img.shape[2]
        shaded = lay(img, [0] * bands, np.float32(self.shadow) * shadows) if self.shadow else img
        return lay(shaded, [*self.colour, *[self.colour[-1]] * (bands - len(self.colour))], clouds)

    def _thickness(self, noise: Field, edge: float) -> Field:
        thickness: Field = np.clip((noise - np.float32(edge)) / np.float32(self.softness) + np.float32(0.5), 0, 1)
        return thickness


def lay(image: Image, colour: Sequence[float], weight: Field) -> Image:
    """Blend a tile towards a colour, pixel by pixel.

    Parameters
    ----------
    image
        uint8 of shape (height, width, bands).
    colour
        One number for each band, 0..255; further bands are not changed.
    weight
        0 does not change a pixel, 1 gives the colour.

    Returns
    -------
    A new image, rounded to nearest.

    Raises
    ------
    ValueError
        If there are more numbers than bands.
    """
    if len(colour) > image.shape[2]:
        raise ValueError(f"{len(colour)} numbers of colour {list(colour)} for {image.shape[2]} bands")
    result = image.copy()
    for band, value in enumerate(colour):
        light = image[..., band].astype(np.float32)
        light += weight * (np.float32(value) - light)
        result[..., band] = np.rint(light, out=light)
    return result


def smooth_noise(height: int, width: int, rng: np.random.Generator, cells: int, octaves: int = 1) -> Field:
    """Draw smooth noise from exactly 0 to exactly 1.

    Parameters
    ----------
    height, width
        Pixels.
    rng
        Source of the noise.
    cells
        Number of independent values along a side of the coarsest octave.
    octaves
        Number of octaves; the cells of each are half as wide and half as high as those of the one before.
    """
    noise: npt.NDArray[Any] = rng.random((cells, cells), dtype=np.float32)
    for octave in range(1, octaves):
        noise = cv2.resize(noise, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        noise = noise + rng.random(noise.shape, dtype=np.float32) / np.float32(2**octave)
    noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.normalize(noise, None, 0, 1, cv2.NORM_MINMAX), dtype=np.float32)  # type: ignore[call-overload]


def _check_shares(name: str, shares: Sequence[float]) -> None:
    if len(shares) != 2 or not 0 <= shares[0] <= shares[1] <= 1:
        raise ValueError(f"{name} must lie in 0..1, with the lower end of a range first; got {shares}")


#: Transforms of this package by name, which albumentations lacks.
WEATHER: Mapping[str, type[albumentations.ImageOnlyTransform]] = {"Haze": Haze, "Clouds": Clouds}

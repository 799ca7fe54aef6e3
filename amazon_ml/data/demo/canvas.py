"""Tools for the painters of generated tiles: noise, masks, lines and a canvas.

Every length is a fraction of the side of a tile, so a tile looks alike at 32 and at 256 pixels. Sines and scales are
cast to float32, because otherwise numpy 2 would convert whole pictures to float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Points = npt.NDArray[np.float64]
Rng = np.random.Generator
Colour = Sequence[float]

#: Width of a noise field in tiles, before it repeats.
_FIELD_TILES = 4
#: Least size in pixels of the sheet on which thin roads and roofs are drawn, before it is scaled down.
_SHEET = 256


@lru_cache(maxsize=2)
def _noise_fields(size: int) -> dict[str, Array]:
    """Build the noise fields of one tile size: zero mean, unit deviation, repeating at the border.

    They are the same in every run; tiles differ by the place that they are cut from.
    """
    rng = np.random.default_rng(20170420)
    side = _FIELD_TILES * size
    fy, fx = np.meshgrid(np.fft.fftfreq(side, 1 / size), np.fft.rfftfreq(side, 1 / size), indexing="ij")
    cycles = np.maximum(np.hypot(fx, fy), 1 / _FIELD_TILES)  # per tile
    # Light from one side: the slope, not the height, makes a canopy look bumpy.
    slope = 0.7 + 1j * (fx + fy) / cycles
    spectra = {
        "rolling": cycles**-2.2,
        "patchy": cycles**-1.6,
        "outline": (cycles > 1.2) * cycles**-1.9,  # no waves as wide as the tile: this noise bends edges
        "crowns": np.exp(-0.6 * np.log(cycles / 32) ** 2) / cycles * slope,
        "grain": cycles**-0.3,
    }
    fields = {}
    for name, spectrum in spectra.items():
        noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * spectrum, (side, side))
        noise = (noise - noise.mean()) / noise.std()
        fields[name] = np.pad(noise, (0, 2 * size), mode="wrap").astype(np.float32)
    return fields


@lru_cache(maxsize=2)
def coordinates(size: int) -> tuple[Array, Array]:
    """Return x and y of the centres of the pixels, as fractions of the side."""
    y, x = (np.indices((size, size), dtype=np.float32) + 0.5) / np.float32(size)
    return x, y


@dataclass
class Scene:
    """An unfinished tile: float RGB in 0..1, and the lines that later painters follow."""

    size: int
    canvas: Array
    scale: float = 1.0
    rivers: list[Points] = field(default_factory=list)
    roads: list[Points] = field(default_factory=list)

    def noise(self, name: str, rng: Rng, stretch: float = 1.0) -> Array:
        """Cut one tile out of a noise field, ``stretch`` (at least 0.5) times enlarged, and turn it."""
        cut = round(self.size / stretch)
        x, y = rng.integers(_FIELD_TILES * self.size, size=2)
        tile = _noise_fields(self.size)[name][y : y + cut, x : x + cut]
        if cut != self.size:
            tile = cv2.resize(tile, (self.size, self.size)).astype(np.float32, copy=False)
        turn = rng.integers(4)
        turned: Array = tile[:: 1 - 2 * (turn & 1), :: 1 - (turn & 2)]
        return turned

    def paint(self, mask: Array, colour: Colour | Array, texture: Array | float = 0.0) -> None:
        """Paint a colour over the canvas where the mask is on; the texture is relative brightness."""
        layer = np.asarray(colour, dtype=np.float32) * np.atleast_3d(1 + texture)
        self.canvas += mask[..., None] * (layer - self.canvas)

    def blob(self, centre: Points, radius: float, rough: Array, *, aspect: float = 1, angle: float = 0) -> Array:
        """Measure how far inside a rough ellipse each pixel is: 1 in the centre, below 0 outside."""
        x, y = coordinates(self.size)
        dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
        along = (dx * np.float32(np.cos(angle)) + dy * np.float32(np.sin(angle))) / np.float32(aspect)
        across = dy * np.float32(np.cos(angle)) - dx * np.float32(np.sin(angle))
        inside: Array = 1 - np.sqrt(along**2 + across**2) / np.float32(radius) + rough
        return inside

    def ribbon(self, points: Points, widths: npt.ArrayLike) -> Array:
        """Cover a line of varying width; result in 0..1."""
        sheet, unit = self._sheet()
        corners = np.rint(points * unit * 8).astype(int)
        thickness = np.maximum(1, np.rint(np.broadcast_to(widths, len(points)) * unit)).astype(int)
        for start, end, width in zip(corners[:-1].tolist(), corners[1:].tolist(), thickness.tolist(), strict=False):
            cv2.line(sheet, start, end, 255, width, cv2.LINE_AA, 3)
        return self._coverage(sheet)

    def dots(self, centres: Points, radii: npt.ArrayLike) -> Array:
        """Cover small discs; result in 0..1."""
        sheet, unit = self._sheet()
        places = np.rint(centres * unit * 8).astype(int).tolist()
        sizes = np.rint(np.broadcast_to(radii, len(places)) * unit * 8).astype(int).tolist()
        for place, radius in zip(places, sizes, strict=True):
            cv2.circle(sheet, place, radius, 255, -1, cv2.LINE_AA, 3)
        return self._coverage(sheet)

    def boxes(self, centres: Points, sides: Points, angle: float) -> Array:
        """Cover rectangles that are turned by one angle; result in 0..1."""
        sheet, unit = self._sheet()
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        square = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        corners = centres[:, None] + square * sides[:, None] @ turn
        for corner in np.rint(corners * unit * 8).astype(np.int32):
            cv2.fillConvexPoly(sheet, corner, 255, cv2.LINE_AA, 3)
        return self._coverage(sheet)

    def _sheet(self) -> tuple[npt.NDArray[np.uint8], int]:
        unit = self.size * max(1, -(-_SHEET // self.size))
        return np.zeros((unit, unit), dtype=np.uint8), unit

    def _coverage(self, sheet: npt.NDArray[np.uint8]) -> Array:
        small = cv2.resize(sheet, (self.size, self.size), interpolation=cv2.INTER_AREA)
        covered: Array = small * np.float32(1 / 255)
        return covered


def edge(inside: Array, softness: float) -> Array:
    """Turn a signed measure into a mask with an edge of the given softness."""
    mask: Array = np.clip(inside * np.float32(1 / softness) + 0.5, 0, 1)
    return mask


def mix(rng: Rng, *colours: Colour, spread: float = 0.06) -> Array:
    """Draw a colour between the given ones, a little brighter or darker."""
    weights = rng.dirichlet(np.full(len(colours), 0.7))
    brightness = float(np.exp(rng.normal(0, spread)))
    colour: Array = (weights @ np.asarray(colours) * brightness).astype(np.float32)
    return colour


def line_across(rng: Rng, wiggle: float, through: Points | None = None, angle: float | None = None) -> Points:
    """Draw a line from border to border, as 49 points; ``wiggle`` is the size of its curves."""
    centre = rng.uniform(0.15, 0.85, 2) if through is None else through
    angle = rng.uniform(0, np.pi) if angle is None else angle
    along = np.linspace(-1.3, 1.3, 49)
    waves = rng.uniform(0.5, 3.0, 3)
    offset = (np.sin(2 * np.pi * (np.outer(along, waves) + rng.random(3))) / waves).sum(axis=1) * wiggle
    direction = np.array([np.cos(angle), np.sin(angle)])
    return centre + np.outer(along, direction) + np.outer(offset, [-direction[1], direction[0]])


def places_along(line: Points, count: int, spread: float, rng: Rng) -> Points:
    """Scatter points around a part of a line that lies within the tile."""
    visible = line[((line > 0.05) & (line < 0.95)).all(axis=1)]
    if not len(visible):
        visible = np.array([[0.5, 0.5]])
    start = int(rng.integers(len(visible)))
    stretch = visible[max(0, start - 7) : start + 8]
    return stretch[rng.integers(len(stretch), size=count)] + rng.normal(0, spread, (count, 2))

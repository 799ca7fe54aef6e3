"""Drawing of generated tiles: one short painter for each tag, in a fixed order from ground to cloud.

Every length is a fraction of the tile's side, so a tile looks alike at 32 and at 256 pixels, and
every painter has a random generator of its own, so adding a tag leaves the other features in place.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from amazon_ml.errors import InputError

Array = npt.NDArray[np.floating]
Points = npt.NDArray[np.float64]
Rng = np.random.Generator
Colour = Sequence[float]

#: Tiles a noise field is wide before it repeats.
_FIELD_TILES = 4
#: Thin roads and roofs are drawn on a sheet of at least this many pixels and averaged down.
_SHEET = 256


@lru_cache(maxsize=2)
def _noise_fields(size: int) -> dict[str, Array]:
    """Build the noise fields of one tile size: zero mean, unit deviation, repeating at the border.

    They are the same in every run; variety comes from the place that a tile is cut from.
    """
    rng = np.random.default_rng(20170420)
    side = _FIELD_TILES * size
    fy, fx = np.meshgrid(np.fft.fftfreq(side, 1 / size), np.fft.rfftfreq(side, 1 / size), indexing="ij")
    cycles = np.maximum(np.hypot(fx, fy), 1 / _FIELD_TILES)  # per tile
    # Lit from one side: the slope, not the height, is what makes a canopy look bumpy.
    slope = 0.7 + 1j * (fx + fy) / cycles
    spectra = {
        "rolling": cycles**-2.2,
        "patchy": cycles**-1.6,
        "outline": (cycles > 1.2) * cycles**-1.9,  # nothing as wide as the tile: it bends edges
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
def _coordinates(size: int) -> tuple[Array, Array]:
    y, x = (np.indices((size, size), dtype=np.float32) + 0.5) / np.float32(size)
    return x, y


@dataclass
class Scene:
    """A tile in the making: float RGB in 0..1, and the lines that later painters follow."""

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
        """Lay a colour over the canvas where the mask is on; the texture is relative brightness."""
        layer = np.asarray(colour, dtype=np.float32) * np.atleast_3d(1 + texture)
        self.canvas += mask[..., None] * (layer - self.canvas)

    def blob(
        self, centre: Points, radius: float, rough: Array, *, aspect: float = 1, angle: float = 0
    ) -> Array:
        """Measure how far inside a rough ellipse each pixel is: 1 in the centre, below 0 outside."""
        x, y = _coordinates(self.size)
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
        for start, end, width in zip(
            corners[:-1].tolist(), corners[1:].tolist(), thickness.tolist(), strict=False
        ):
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


Painter = Callable[[Scene, Rng], None]


def _edge(inside: Array, softness: float) -> Array:
    """Turn a signed measure into a mask with an edge of the given softness."""
    mask: Array = np.clip(inside * np.float32(1 / softness) + 0.5, 0, 1)
    return mask


def _mix(rng: Rng, *colours: Colour, spread: float = 0.06) -> Array:
    """Draw a colour between the given ones, a little brighter or darker."""
    weights = rng.dirichlet(np.full(len(colours), 0.7))
    brightness = float(np.exp(rng.normal(0, spread)))
    colour: Array = (weights @ np.asarray(colours) * brightness).astype(np.float32)
    return colour


def _line_across(
    rng: Rng, wiggle: float, through: Points | None = None, angle: float | None = None
) -> Points:
    """Draw a line from border to border, as 49 points; ``wiggle`` is how far it strays."""
    centre = rng.uniform(0.15, 0.85, 2) if through is None else through
    angle = rng.uniform(0, np.pi) if angle is None else angle
    along = np.linspace(-1.3, 1.3, 49)
    waves = rng.uniform(0.5, 3.0, 3)
    offset = (np.sin(2 * np.pi * (np.outer(along, waves) + rng.random(3))) / waves).sum(axis=1) * wiggle
    direction = np.array([np.cos(angle), np.sin(angle)])
    return centre + np.outer(along, direction) + np.outer(offset, [-direction[1], direction[0]])


def _places_along(line: Points, count: int, spread: float, rng: Rng) -> Points:
    """Scatter points round a stretch of a line that lies within the tile."""
    visible = line[((line > 0.05) & (line < 0.95)).all(axis=1)]
    if not len(visible):
        visible = np.array([[0.5, 0.5]])
    start = int(rng.integers(len(visible)))
    stretch = visible[max(0, start - 7) : start + 8]
    return stretch[rng.integers(len(stretch), size=count)] + rng.normal(0, spread, (count, 2))


# ---------------------------------------------------------------- ground


def _scrub(scene: Scene, rng: Rng) -> None:
    """Paint grass and bushes: what is there where nothing else is."""
    green, tan = _mix(rng, (0.30, 0.36, 0.22), (0.36, 0.39, 0.28)), _mix(rng, (0.42, 0.38, 0.30))
    share = _edge(scene.noise("patchy", rng), 2.5)
    whole = np.ones_like(share)
    scene.paint(whole, green)
    scene.paint(share, tan)
    texture = scene.noise("patchy", rng) * 0.08 + scene.noise("crowns", rng) * 0.05
    scene.canvas *= 1 + texture[..., None]


def _primary(scene: Scene, rng: Rng) -> None:
    colour = _mix(
        rng, (0.11, 0.19, 0.12), (0.13, 0.20, 0.17), (0.19, 0.21, 0.13), (0.18, 0.18, 0.15), spread=0.2
    )
    bumps = scene.noise("crowns", rng, stretch=scene.scale) * rng.uniform(0.14, 0.32)
    hills = scene.noise("rolling", rng) * rng.uniform(0.02, 0.12)
    leaves = scene.noise("grain", rng) * rng.uniform(0.03, 0.12)
    cover = np.ones_like(bumps)
    if rng.random() < 0.12:  # natural openings, which nobody tags
        cover = _edge(scene.noise("patchy", rng) + rng.uniform(1.4, 2.2), 0.3)
    scene.paint(cover, colour, np.maximum(bumps + hills + leaves, -0.7))


def _agriculture(scene: Scene, rng: Rng) -> None:
    x, y = _coordinates(scene.size)
    angle = rng.uniform(0, np.pi)
    u = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    v = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
    fenced = rng.random() < 0.55
    pitch = rng.uniform(0.3, 0.7, 2) * scene.scale
    cell_u, cell_v = np.floor(u / pitch[0]).astype(int), np.floor(v / pitch[1]).astype(int)
    # Straight borders come from the parcels, ragged ones from the noise.
    lean = rng.normal(0, 0.8, (5, 5)).astype(np.float32)[cell_u % 5, cell_v % 5] if fenced else v - v.mean()
    ground = lean * (1 if fenced else 2.5) + scene.noise("rolling", rng) * (0.25 if fenced else 0.7)
    cover = _edge(ground - np.quantile(ground, 1 - rng.uniform(0.22, 0.85)), 0.08)
    parcels = np.stack(
        [_mix(rng, (0.35, 0.42, 0.23), (0.44, 0.45, 0.29), (0.52, 0.44, 0.34), spread=0.1) for _ in range(4)]
    )
    colours = parcels[(2 * cell_u + cell_v) % (4 if fenced else 1)]
    stripes = np.sin(v * np.float32(2 * np.pi * rng.uniform(9, 22))) * float(rng.choice([0, 0.05, 0.12]))
    texture = scene.noise("patchy", rng) * 0.07 + stripes
    scene.paint(cover * rng.uniform(0.55, 1), colours, texture)


def _cultivation(scene: Scene, rng: Rng) -> None:
    middle = rng.uniform(0.2, 0.8, 2)
    for _ in range(rng.integers(3, 8)):
        rough = scene.noise("outline", rng) * 0.26
        inside = scene.blob(
            middle + rng.normal(0, 0.2, 2),
            rng.uniform(0.07, 0.15) * scene.scale,
            rough,
            aspect=rng.uniform(0.8, 1.8),
            angle=rng.uniform(0, np.pi),
        )
        colour = _mix(rng, (0.40, 0.43, 0.20), (0.27, 0.35, 0.17), (0.42, 0.31, 0.22), spread=0.1)
        mottle = scene.noise("grain", rng) * 0.12 + rough * 0.5
        scene.paint(_edge(inside, 0.2) * rng.uniform(0.5, 0.95), colour, mottle)


def _bare_ground(scene: Scene, rng: Rng) -> None:
    soil = _mix(rng, (0.64, 0.55, 0.44), (0.60, 0.47, 0.36), (0.66, 0.61, 0.53))
    for _ in range(rng.integers(1, 3)):
        rough = scene.noise("outline", rng) * 0.26
        inside = scene.blob(
            rng.uniform(0.2, 0.8, 2), rng.uniform(0.22, 0.5), rough, aspect=rng.uniform(1, 1.7)
        )
        scene.paint(_edge(inside, 0.15) * rng.uniform(0.75, 1), soil, rough * 0.2)


def _slash_burn(scene: Scene, rng: Rng) -> None:
    for _ in range(rng.integers(1, 4)):
        centre = rng.uniform(0.2, 0.8, 2)
        rough = scene.noise("outline", rng) * 0.26
        inside = scene.blob(
            centre, rng.uniform(0.12, 0.24), rough, aspect=rng.uniform(1, 1.8), angle=rng.uniform(0, 3)
        )
        scene.paint(
            _edge(inside + 0.15, 0.1),
            _mix(rng, (0.38, 0.26, 0.18), (0.33, 0.27, 0.20)),
            rough * 0.5,
        )
        scene.paint(_edge(inside - 0.05, 0.15), _mix(rng, (0.08, 0.065, 0.06), (0.14, 0.10, 0.09)))
        scene.paint(
            _edge(inside - 0.5, 0.9) * 0.35,
            (0.42, 0.40, 0.39),
            scene.noise("grain", rng) * 0.3,
        )
    angle = rng.uniform(0, 2 * np.pi)
    drift = centre + 0.28 * np.array([np.cos(angle), np.sin(angle)])
    smoke = scene.blob(drift, 0.11, scene.noise("patchy", rng) * 0.35, aspect=2.6, angle=angle)
    scene.paint(_edge(smoke, 1.2) * rng.uniform(0, 0.55), (0.56, 0.57, 0.60))


def _conventional_mine(scene: Scene, rng: Rng) -> None:
    # Smoothed, or the terraces would fray.
    rough = cv2.GaussianBlur(scene.noise("outline", rng), (0, 0), 0.035 * scene.size) * 0.24
    centre, angle = rng.uniform(0.3, 0.7, 2), rng.uniform(0, np.pi)
    inside = scene.blob(centre, rng.uniform(0.3, 0.46), rough, aspect=rng.uniform(1, 1.5), angle=angle)
    ochre = _mix(rng, (0.66, 0.45, 0.31), (0.60, 0.50, 0.38), (0.54, 0.50, 0.46))
    steps = rng.uniform(3.5, 7)
    # Terraces: light benches with dark walls, the pit deeper and greyer towards its middle.
    walls = ((inside * steps) % 1 < 0.35) * (0.33 + 0.15 * scene.noise("rolling", rng))
    benches = 0.08 - walls - np.clip(inside, 0, 1) * 0.25
    scene.paint(_edge(inside + 0.18, 0.1), ochre, scene.noise("grain", rng) * 0.06)
    scene.paint(_edge(inside, 0.06), ochre * 0.95, benches)
    if rng.random() < 0.6:
        scene.paint(_edge(inside - 0.78, 0.08), _mix(rng, (0.25, 0.42, 0.42), (0.30, 0.34, 0.36)))
    access = _line_across(rng, 0.03, through=centre)[24:]
    scene.paint(scene.ribbon(access, 0.02) * 0.85, ochre)


def _selective_logging(scene: Scene, rng: Rng) -> None:
    earth = _mix(rng, (0.42, 0.34, 0.24), (0.36, 0.30, 0.21))
    strength = rng.uniform(0.45, 0.9)
    trunk = _line_across(rng, 0.06)
    tracks, gaps = [trunk], [_places_along(trunk, 8, 0.05, rng)]
    for place in _places_along(trunk, int(rng.integers(3, 6)), 0.01, rng):
        spur = _line_across(rng, 0.05, through=place)[24 : 24 + int(rng.integers(6, 14))]
        tracks.append(spur)
        gaps.append(_places_along(spur, 5, 0.03, rng))
    for track in tracks:
        scene.paint(scene.ribbon(track, 0.009) * strength, earth)
    centres = np.concatenate(gaps)
    scene.paint(scene.dots(centres, rng.uniform(0.006, 0.017, len(centres))) * strength, earth * 1.15)


def _blow_down(scene: Scene, rng: Rng) -> None:
    centre, angle = rng.uniform(0.25, 0.75, 2), rng.uniform(0, 2 * np.pi)
    length, breadth = rng.uniform(0.32, 0.5), rng.uniform(0.09, 0.17)
    rough = scene.noise("patchy", rng) * 0.25
    strip = scene.blob(centre, breadth, rough, aspect=length / breadth, angle=angle)
    wood = _mix(rng, (0.46, 0.42, 0.36), (0.40, 0.37, 0.29))
    scene.paint(_edge(strip, 0.4) * rng.uniform(0.35, 0.6), wood * 0.75, rough)
    forward, side = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    place = rng.uniform(-0.9, 0.9, (45, 2))
    for along, across in place:
        # The trunks fan out from where the gust came down.
        start = centre + along * length * forward + across * breadth * (0.7 + 0.5 * along) * side
        lying = forward + side * across * 0.35
        trunk = np.stack([start, start + lying * rng.uniform(0.05, 0.11)])
        scene.paint(scene.ribbon(trunk, 0.006) * 0.75, wood * 1.2)


def _blooming(scene: Scene, rng: Rng) -> None:
    count = int(rng.integers(18, 70))
    blossom = _mix(rng, (0.86, 0.76, 0.25), (0.84, 0.81, 0.76), (0.80, 0.52, 0.64))
    crowns = scene.dots(rng.random((count, 2)), rng.uniform(0.007, 0.017, count) * scene.scale)
    scene.paint(crowns * rng.uniform(0.5, 0.95), blossom, scene.noise("grain", rng) * 0.1)


def _water(scene: Scene, rng: Rng) -> None:
    colour = _mix(
        rng, (0.46, 0.38, 0.29), (0.10, 0.14, 0.17), (0.22, 0.28, 0.30), (0.36, 0.35, 0.30), spread=0.12
    )
    ripples = scene.noise("rolling", rng) * 0.04
    if rng.random() < 0.25:
        rough = scene.noise("outline", rng) * 0.3
        inside = scene.blob(
            rng.uniform(0.15, 0.85, 2),
            rng.uniform(0.14, 0.4),
            rough,
            aspect=rng.uniform(1, 2.2),
            angle=rng.uniform(0, 3),
        )
        water, bank = _edge(inside, 0.06), _edge(inside + 0.07, 0.06)
    else:
        course = _line_across(rng, rng.uniform(0.03, 0.13))
        width = np.exp(rng.uniform(np.log(0.022), np.log(0.32))) * np.exp(
            rng.normal(0, 0.1) * np.sin(np.linspace(0, 9, 49))
        )
        water, bank = scene.ribbon(course, width), scene.ribbon(course, width * 1.15 + 0.012)
        scene.rivers.append(course)
    scene.paint(bank * float(rng.choice([0, 0.5, 0.9])), _mix(rng, (0.60, 0.54, 0.44), (0.26, 0.32, 0.18)))
    scene.paint(water, colour, ripples)


def _artisinal_mine(scene: Scene, rng: Rng) -> None:
    course = scene.rivers[-1] if scene.rivers else _line_across(rng, 0.08)
    count = int(rng.integers(25, 60))
    spoil = _places_along(course, count, rng.uniform(0.05, 0.11), rng)
    mask = scene.dots(spoil, rng.uniform(0.012, 0.05, count) * scene.scale)
    heaps = cv2.GaussianBlur(mask, (0, 0), 0.014 * scene.size).astype(np.float32, copy=False)
    ragged = _edge(heaps * (1 + 0.4 * scene.noise("outline", rng)) - 0.45, 0.35)
    spoil_colour = _mix(rng, (0.74, 0.64, 0.42), (0.78, 0.73, 0.62), (0.66, 0.53, 0.35))
    scene.paint(ragged, spoil_colour, scene.noise("patchy", rng) * 0.15)
    ponds = spoil[: count // 4]
    pools = scene.dots(ponds, rng.uniform(0.012, 0.032, len(ponds)) * scene.scale)
    scene.paint(pools, _mix(rng, (0.30, 0.58, 0.55), (0.38, 0.52, 0.42), (0.62, 0.50, 0.32)))


def _road(scene: Scene, rng: Rng) -> None:
    surface = _mix(rng, (0.62, 0.53, 0.43), (0.56, 0.45, 0.36), (0.55, 0.54, 0.52))
    angle = rng.uniform(0, np.pi)
    main = _line_across(rng, rng.choice([0.004, 0.015, 0.035]), angle=angle)
    scene.roads.append(main)
    for _ in range(rng.integers(0, 3)):
        junction = _places_along(main, 1, 0, rng)[0]
        branch = _line_across(rng, 0.01, through=junction, angle=angle + rng.normal(np.pi / 2, 0.25))
        scene.roads.append(branch if rng.random() < 0.3 else branch[24:])
    width = rng.uniform(0.009, 0.02)
    strength = rng.uniform(0.45, 1)
    for i, line in enumerate(scene.roads):
        scene.paint(scene.ribbon(line, width if i == 0 else width * 0.7) * strength, surface)


def _habitation(scene: Scene, rng: Rng) -> None:
    count = int(rng.integers(12, 60))
    line = scene.roads[0] if scene.roads else _line_across(rng, 0.0)
    direction = line[25] - line[24]
    places = _places_along(line, count, rng.uniform(0.035, 0.09), rng)
    inside = scene.blob(places.mean(axis=0), rng.uniform(0.12, 0.22), scene.noise("patchy", rng) * 0.3)
    yard = _mix(rng, (0.48, 0.42, 0.33), (0.38, 0.40, 0.27))
    scene.paint(
        _edge(inside, 0.8) * rng.uniform(0.3, 0.8),
        yard,
        scene.noise("grain", rng) * 0.12,
    )
    sides = rng.uniform(0.011, 0.028, (count, 2)) * scene.scale
    angle = float(np.arctan2(direction[1], direction[0]))
    strength = rng.uniform(0.6, 1)
    for part in np.array_split(np.arange(count), 3):
        roof = _mix(rng, (0.85, 0.83, 0.80), (0.72, 0.72, 0.74), (0.70, 0.48, 0.38))
        scene.paint(scene.boxes(places[part], sides[part], angle) * strength, roof)


# ---------------------------------------------------------------- weather


def _veil(scene: Scene, rng: Rng, low: float, high: float) -> None:
    """Mix in the light that the air scatters, which takes the contrast away."""
    air = _mix(rng, (0.50, 0.57, 0.55), (0.58, 0.60, 0.58), (0.52, 0.53, 0.47))
    scene.canvas += rng.uniform(low, high) * (air - scene.canvas)


def _clear(scene: Scene, rng: Rng) -> None:
    _veil(scene, rng, 0.03, 0.33)


def _haze(scene: Scene, rng: Rng) -> None:
    _veil(scene, rng, 0.42, 0.88)
    drift = _edge(scene.noise("rolling", rng), 5) * rng.uniform(0.05, 0.25)
    scene.paint(drift, (0.66, 0.69, 0.69))


def _partly_cloudy(scene: Scene, rng: Rng) -> None:
    _veil(scene, rng, 0.03, 0.33)
    heights = scene.noise("patchy", rng, stretch=rng.uniform(0.6, 1.6)) + scene.noise("rolling", rng) * 0.5
    cover = _edge(heights - np.quantile(heights, 1 - rng.uniform(0.06, 0.45)) - 0.1, rng.uniform(0.3, 0.9))
    dx, dy = (rng.choice([-1, 1]) * rng.uniform(0.05, 0.14, 2) * scene.size).round()
    shift = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float32)
    shadow = cv2.warpAffine(cover, shift, (scene.size, scene.size), borderMode=cv2.BORDER_REFLECT)
    scene.canvas *= 1 - rng.uniform(0.25, 0.55) * shadow[..., None]
    white = _mix(rng, (0.93, 0.92, 0.92), (0.78, 0.79, 0.79))
    scene.paint(cover * rng.uniform(0.7, 1), white, heights * 0.05)


def _cloudy(scene: Scene, rng: Rng) -> None:
    _veil(scene, rng, 0.6, 0.9)
    heights = scene.noise("patchy", rng, stretch=rng.uniform(0.6, 1.8))
    cover = _edge(heights + rng.uniform(0.6, 2.5), 1.5)
    relief = heights * float(rng.choice([0.02, 0.08, 0.13]))
    scene.paint(cover, _mix(rng, (0.90, 0.88, 0.89), (0.66, 0.67, 0.65), (0.55, 0.58, 0.53)), relief)


#: Tag to painter, from the ground up: later ones cover earlier ones.
LAYERS: dict[str, Painter] = {
    "primary": _primary,
    "agriculture": _agriculture,
    "cultivation": _cultivation,
    "bare_ground": _bare_ground,
    "slash_burn": _slash_burn,
    "conventional_mine": _conventional_mine,
    "selective_logging": _selective_logging,
    "blow_down": _blow_down,
    "blooming": _blooming,
    "water": _water,
    "artisinal_mine": _artisinal_mine,
    "road": _road,
    "habitation": _habitation,
    "clear": _clear,
    "haze": _haze,
    "partly_cloudy": _partly_cloudy,
    "cloudy": _cloudy,
}


def _expose(scene: Scene, rng: Rng) -> npt.NDArray[np.uint8]:
    """Turn the canvas into bytes as a camera of some day and season would see it."""
    gain = np.exp(rng.normal(0, 0.10)) * np.exp(rng.normal(0, 0.025, 3))
    scene.canvas *= gain.astype(np.float32)
    scene.canvas += 0.008 * rng.standard_normal(scene.canvas.shape, dtype=np.float32)
    pixels: npt.NDArray[np.uint8] = (np.clip(scene.canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
    return pixels


def draw_tile(tags: Collection[str], size: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw a tile that shows the given tags.

    Parameters
    ----------
    tags
        Tags of the competition; the label logic is not asked for. With none of the weather tags
        the air is perfectly clear.
    size
        Side in pixels, 16 at least.
    rng
        Source of everything that varies. Two calls with generators in the same state draw the
        same features, apart from those that only one of them was asked for.

    Returns
    -------
    uint8 array of shape (size, size, 3), RGB.

    Raises
    ------
    InputError
        For a tag without a painter, or a size below 16.
    """
    wanted = set(tags)
    if unknown := sorted(wanted - set(LAYERS)):
        raise InputError(f"no painter for {', '.join(unknown)}; there are painters for {', '.join(LAYERS)}")
    if size < 16:
        raise InputError(f"size is {size}; a tile needs at least 16 pixels a side")
    if "cloudy" in wanted:
        wanted.add("primary")  # what shows through a thin cloud is mostly forest
    ground_seed, exposure_seed, *seeds = rng.integers(2**63, size=2 + len(LAYERS)).tolist()
    ground_rng = np.random.default_rng(ground_seed)
    scene = Scene(
        size, np.empty((size, size, 3), dtype=np.float32), scale=float(ground_rng.uniform(0.75, 1.35))
    )
    scene.canvas[:] = 0
    _scrub(scene, ground_rng)
    for (tag, painter), seed in zip(LAYERS.items(), seeds, strict=True):
        if tag in wanted:
            painter(scene, np.random.default_rng(seed))
    return _expose(scene, np.random.default_rng(exposure_seed))

"""Draws generated tiles: one short painter for each tag, in a fixed order from ground to cloud.

Every painter has its own random generator, so another tag does not move the other features.
"""

from collections.abc import Callable, Collection

import cv2
import numpy as np
import numpy.typing as npt

from amazon_ml.data.demo.canvas import Rng, Scene, coordinates, edge, line_across, mix, places_along
from amazon_ml.errors import InputError

Painter = Callable[[Scene, Rng], None]


# ---------------------------------------------------------------- ground


def _scrub(scene: Scene, rng: Rng) -> None:
    """Paint grass and bushes, the ground below everything else."""
    green, tan = mix(rng, (0.30, 0.36, 0.22), (0.36, 0.39, 0.28)), mix(rng, (0.42, 0.38, 0.30))
    share = edge(scene.noise("patchy", rng), 2.5)
    whole = np.ones_like(share)
    scene.paint(whole, green)
    scene.paint(share, tan)
    texture = scene.noise("patchy", rng) * 0.08 + scene.noise("crowns", rng) * 0.05
    scene.canvas *= 1 + texture[..., None]


def _primary(scene: Scene, rng: Rng) -> None:
    colour = mix(rng, (0.11, 0.19, 0.12), (0.13, 0.20, 0.17), (0.19, 0.21, 0.13), (0.18, 0.18, 0.15), spread=0.2)
    bumps = scene.noise("crowns", rng, stretch=scene.scale) * rng.uniform(0.14, 0.32)
    hills = scene.noise("rolling", rng) * rng.uniform(0.02, 0.12)
    leaves = scene.noise("grain", rng) * rng.uniform(0.03, 0.12)
    cover = np.ones_like(bumps)
    if rng.random() < 0.2:  # natural openings, which have no tag
        cover = edge(scene.noise("patchy", rng) + rng.uniform(1.5, 2.6), 0.3)
    scene.paint(cover, colour, np.maximum(bumps + hills + leaves, -0.7))


def _agriculture(scene: Scene, rng: Rng) -> None:
    x, y = coordinates(scene.size)
    angle = rng.uniform(0, np.pi)
    u = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    v = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
    fenced = rng.random() < 0.55
    pitch = rng.uniform(0.3, 0.7, 2) * scene.scale
    cell_u, cell_v = np.floor(u / pitch[0]).astype(int), np.floor(v / pitch[1]).astype(int)
    # Straight borders come from the parcels, ragged ones from the noise.
    lean = rng.normal(0, 0.8, (5, 5)).astype(np.float32)[cell_u % 5, cell_v % 5] if fenced else v - v.mean()
    ground = lean * (1 if fenced else 2.5) + scene.noise("rolling", rng) * (0.25 if fenced else 0.7)
    cover = edge(ground - np.quantile(ground, 1 - rng.uniform(0.1, 0.85)), 0.08)
    parcels = np.stack(
        [mix(rng, (0.35, 0.42, 0.23), (0.44, 0.45, 0.29), (0.52, 0.44, 0.34), spread=0.1) for _ in range(4)]
    )
    colours = parcels[(2 * cell_u + cell_v) % (4 if fenced else 1)]
    stripes = np.sin(v * np.float32(2 * np.pi * rng.uniform(9, 22))) * float(rng.choice([0, 0.05, 0.12]))
    texture = scene.noise("patchy", rng) * 0.07 + stripes
    scene.paint(cover * rng.uniform(0.3, 1), colours, texture)


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
        colour = mix(rng, (0.40, 0.43, 0.20), (0.27, 0.35, 0.17), (0.42, 0.31, 0.22), spread=0.1)
        mottle = scene.noise("grain", rng) * 0.12 + rough * 0.5
        scene.paint(edge(inside, 0.2) * rng.uniform(0.3, 0.9), colour, mottle)


def _bare_ground(scene: Scene, rng: Rng) -> None:
    soil = mix(rng, (0.64, 0.55, 0.44), (0.60, 0.47, 0.36), (0.66, 0.61, 0.53))
    for _ in range(rng.integers(1, 3)):
        rough = scene.noise("outline", rng) * 0.26
        inside = scene.blob(rng.uniform(0.2, 0.8, 2), rng.uniform(0.22, 0.5), rough, aspect=rng.uniform(1, 1.7))
        scene.paint(edge(inside, 0.15) * rng.uniform(0.5, 1), soil, rough * 0.2)


def _slash_burn(scene: Scene, rng: Rng) -> None:
    for _ in range(rng.integers(1, 4)):
        centre = rng.uniform(0.2, 0.8, 2)
        rough = scene.noise("outline", rng) * 0.26
        inside = scene.blob(centre, rng.uniform(0.12, 0.24), rough, aspect=rng.uniform(1, 1.8), angle=rng.uniform(0, 3))
        scene.paint(edge(inside + 0.15, 0.1), mix(rng, (0.38, 0.26, 0.18), (0.33, 0.27, 0.20)), rough * 0.5)
        scene.paint(edge(inside - 0.05, 0.15), mix(rng, (0.08, 0.065, 0.06), (0.14, 0.10, 0.09)))
        scene.paint(edge(inside - 0.5, 0.9) * 0.35, (0.42, 0.40, 0.39), scene.noise("grain", rng) * 0.3)
    angle = rng.uniform(0, 2 * np.pi)
    drift = centre + 0.28 * np.array([np.cos(angle), np.sin(angle)])
    smoke = scene.blob(drift, 0.11, scene.noise("patchy", rng) * 0.35, aspect=2.6, angle=angle)
    scene.paint(edge(smoke, 1.2) * rng.uniform(0, 0.55), (0.56, 0.57, 0.60))


def _conventional_mine(scene: Scene, rng: Rng) -> None:
    # Smoothed, or the terraces would fray.
    rough = cv2.GaussianBlur(scene.noise("outline", rng), (0, 0), 0.035 * scene.size) * 0.24
    centre, angle = rng.uniform(0.3, 0.7, 2), rng.uniform(0, np.pi)
    inside = scene.blob(centre, rng.uniform(0.3, 0.46), rough, aspect=rng.uniform(1, 1.5), angle=angle)
    ochre = mix(rng, (0.66, 0.45, 0.31), (0.60, 0.50, 0.38), (0.54, 0.50, 0.46))
    steps = rng.uniform(3.5, 7)
    # Terraces: light benches with dark walls, the pit deeper and greyer towards its middle.
    walls = ((inside * steps) % 1 < 0.35) * (0.33 + 0.15 * scene.noise("rolling", rng))
    benches = 0.08 - walls - np.clip(inside, 0, 1) * 0.25
    scene.paint(edge(inside + 0.18, 0.1), ochre, scene.noise("grain", rng) * 0.06)
    scene.paint(edge(inside, 0.06), ochre * 0.95, benches)
    if rng.random() < 0.6:
        scene.paint(edge(inside - 0.78, 0.08), mix(rng, (0.25, 0.42, 0.42), (0.30, 0.34, 0.36)))
    access = line_across(rng, 0.03, through=centre)[24:]
    scene.paint(scene.ribbon(access, 0.02) * 0.85, ochre)


def _selective_logging(scene: Scene, rng: Rng) -> None:
    earth = mix(rng, (0.42, 0.34, 0.24), (0.36, 0.30, 0.21))
    strength = rng.uniform(0.45, 0.9)
    trunk = line_across(rng, 0.06)
    tracks, gaps = [trunk], [places_along(trunk, 8, 0.05, rng)]
    for place in places_along(trunk, int(rng.integers(3, 6)), 0.01, rng):
        spur = line_across(rng, 0.05, through=place)[24 : 24 + int(rng.integers(6, 14))]
        tracks.append(spur)
        gaps.append(places_along(spur, 5, 0.03, rng))
    for track in tracks:
        scene.paint(scene.ribbon(track, 0.009) * strength, earth)
    centres = np.concatenate(gaps)
    scene.paint(scene.dots(centres, rng.uniform(0.006, 0.017, len(centres))) * strength, earth * 1.15)


def _blow_down(scene: Scene, rng: Rng) -> None:
    centre, angle = rng.uniform(0.25, 0.75, 2), rng.uniform(0, 2 * np.pi)
    length, breadth = rng.uniform(0.32, 0.5), rng.uniform(0.09, 0.17)
    rough = scene.noise("patchy", rng) * 0.25
    strip = scene.blob(centre, breadth, rough, aspect=length / breadth, angle=angle)
    wood = mix(rng, (0.46, 0.42, 0.36), (0.40, 0.37, 0.29))
    scene.paint(edge(strip, 0.4) * rng.uniform(0.35, 0.6), wood * 0.75, rough)
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
    blossom = mix(rng, (0.86, 0.76, 0.25), (0.84, 0.81, 0.76), (0.80, 0.52, 0.64))
    crowns = scene.dots(rng.random((count, 2)), rng.uniform(0.007, 0.017, count) * scene.scale)
    scene.paint(crowns * rng.uniform(0.5, 0.95), blossom, scene.noise("grain", rng) * 0.1)


def _water(scene: Scene, rng: Rng) -> None:
    colour = mix(rng, (0.46, 0.38, 0.29), (0.10, 0.14, 0.17), (0.22, 0.28, 0.30), (0.36, 0.35, 0.30), spread=0.12)
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
        water, bank = edge(inside, 0.06), edge(inside + 0.07, 0.06)
    else:
        course = line_across(rng, rng.uniform(0.03, 0.13))
        width = np.exp(rng.uniform(np.log(0.014), np.log(0.32))) * np.exp(
            rng.normal(0, 0.1) * np.sin(np.linspace(0, 9, 49))
        )
        water, bank = scene.ribbon(course, width), scene.ribbon(course, width * 1.15 + 0.012)
        scene.rivers.append(course)
    scene.paint(bank * float(rng.choice([0, 0.5, 0.9])), mix(rng, (0.60, 0.54, 0.44), (0.26, 0.32, 0.18)))
    # A stream may hide under trees, a wide river does not.
    faintest = 0.9 if water.mean() > 0.06 else 0.45
    scene.paint(water * rng.uniform(faintest, 1), colour, ripples)


def _artisinal_mine(scene: Scene, rng: Rng) -> None:
    course = scene.rivers[-1] if scene.rivers else line_across(rng, 0.08)
    count = int(rng.integers(25, 60))
    spoil = places_along(course, count, rng.uniform(0.05, 0.11), rng)
    mask = scene.dots(spoil, rng.uniform(0.012, 0.05, count) * scene.scale)
    heaps = cv2.GaussianBlur(mask, (0, 0), 0.014 * scene.size).astype(np.float32, copy=False)
    ragged = edge(heaps * (1 + 0.4 * scene.noise("outline", rng)) - 0.45, 0.35)
    spoil_colour = mix(rng, (0.74, 0.64, 0.42), (0.78, 0.73, 0.62), (0.66, 0.53, 0.35))
    scene.paint(ragged, spoil_colour, scene.noise("patchy", rng) * 0.15)
    ponds = spoil[: count // 4]
    pools = scene.dots(ponds, rng.uniform(0.012, 0.032, len(ponds)) * scene.scale)
    scene.paint(pools, mix(rng, (0.30, 0.58, 0.55), (0.38, 0.52, 0.42), (0.62, 0.50, 0.32)))


def _road(scene: Scene, rng: Rng) -> None:
    surface = mix(rng, (0.62, 0.53, 0.43), (0.56, 0.45, 0.36), (0.55, 0.54, 0.52))
    angle = rng.uniform(0, np.pi)
    main = line_across(rng, rng.choice([0.004, 0.015, 0.035]), angle=angle)
    scene.roads.append(main)
    for _ in range(rng.integers(0, 3)):
        junction = places_along(main, 1, 0, rng)[0]
        branch = line_across(rng, 0.01, through=junction, angle=angle + rng.normal(np.pi / 2, 0.25))
        scene.roads.append(branch if rng.random() < 0.3 else branch[24:])
    width = rng.uniform(0.007, 0.018)
    strength = rng.uniform(0.25, 0.95)
    for i, line in enumerate(scene.roads):
        scene.paint(scene.ribbon(line, width if i == 0 else width * 0.7) * strength, surface)


def _habitation(scene: Scene, rng: Rng) -> None:
    count = int(rng.integers(5, 60))
    line = scene.roads[0] if scene.roads else line_across(rng, 0.0)
    direction = line[25] - line[24]
    places = places_along(line, count, rng.uniform(0.035, 0.09), rng)
    inside = scene.blob(places.mean(axis=0), rng.uniform(0.12, 0.22), scene.noise("patchy", rng) * 0.3)
    yard = mix(rng, (0.48, 0.42, 0.33), (0.38, 0.40, 0.27))
    scene.paint(edge(inside, 0.8) * rng.uniform(0.3, 0.8), yard, scene.noise("grain", rng) * 0.12)
    sides = rng.uniform(0.011, 0.028, (count, 2)) * scene.scale
    angle = float(np.arctan2(direction[1], direction[0]))
    strength = rng.uniform(0.35, 1)
    for part in np.array_split(np.arange(count), 3):
        roof = mix(rng, (0.85, 0.83, 0.80), (0.72, 0.72, 0.74), (0.70, 0.48, 0.38))
        scene.paint(scene.boxes(places[part], sides[part], angle) * strength, roof)


# ---------------------------------------------------------------- weather


def _veil(scene: Scene, rng: Rng, low: float, high: float) -> None:
    """Mix in the light that the air scatters, which reduces the contrast."""
    air = mix(rng, (0.50, 0.57, 0.55), (0.58, 0.60, 0.58), (0.52, 0.53, 0.47))
    scene.canvas += rng.uniform(low, high) * (air - scene.canvas)


def _clear(scene: Scene, rng: Rng) -> None:
    _veil(scene, rng, 0.03, 0.42)


def _haze(scene: Scene, rng: Rng) -> None:
    _veil(scene, rng, 0.34, 0.85)
    drift = edge(scene.noise("rolling", rng), 5) * rng.uniform(0.05, 0.25)
    scene.paint(drift, (0.66, 0.69, 0.69))


def _partly_cloudy(scene: Scene, rng: Rng) -> None:
    _veil(scene, rng, 0.03, 0.42)
    heights = scene.noise("patchy", rng, stretch=rng.uniform(0.6, 1.6)) + scene.noise("rolling", rng) * 0.5
    cover = edge(heights - np.quantile(heights, 1 - rng.uniform(0.02, 0.45)) - 0.1, rng.uniform(0.3, 0.9))
    dx, dy = (rng.choice([-1, 1]) * rng.uniform(0.05, 0.14, 2) * scene.size).round()
    shift = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float32)
    shadow = cv2.warpAffine(cover, shift, (scene.size, scene.size), borderMode=cv2.BORDER_REFLECT)
    scene.canvas *= 1 - rng.uniform(0.25, 0.55) * shadow[..., None]
    white = mix(rng, (0.93, 0.92, 0.92), (0.78, 0.79, 0.79))
    scene.paint(cover * rng.uniform(0.35, 1), white, heights * 0.05)


def _cloudy(scene: Scene, rng: Rng) -> None:
    _veil(scene, rng, 0.6, 0.9)
    heights = scene.noise("patchy", rng, stretch=rng.uniform(0.6, 1.8))
    cover = edge(heights + rng.uniform(0.6, 2.5), 1.5)
    relief = heights * float(rng.choice([0.02, 0.08, 0.13]))
    scene.paint(cover, mix(rng, (0.90, 0.88, 0.89), (0.66, 0.67, 0.65), (0.55, 0.58, 0.53)), relief)


#: The painter of each tag, from the ground up: later ones cover earlier ones.
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
        Tags of the competition; the label logic is not checked. Without a weather tag the air is perfectly clear.
    size
        Side in pixels, at least 16.
    rng
        Source of randomness. Two calls with generators in the same state draw the same features for their common tags.

    Returns
    -------
    uint8 array of shape (size, size, 3), RGB.

    Raises
    ------
    InputError
        If a tag has no painter, or the size is below 16.
    """
    wanted = set(tags)
    if unknown := sorted(wanted - set(LAYERS)):
        problem = f"there is no painter for {', '.join(unknown)}"
        raise InputError(problem, option="tags", remedy=f"there are painters for {', '.join(LAYERS)}")
    if size < 16:
        raise InputError(f"`size` must be at least 16, not {size}", option="size")
    if "cloudy" in wanted:
        wanted.add("primary")  # the ground below a thin cloud is mostly forest
    ground_seed, exposure_seed, *seeds = rng.integers(2**63, size=2 + len(LAYERS)).tolist()
    ground_rng = np.random.default_rng(ground_seed)
    canvas = np.zeros((size, size, 3), dtype=np.float32)
    scene = Scene(size, canvas, scale=ground_rng.uniform(0.75, 1.35))
    _scrub(scene, ground_rng)
    for (tag, painter), seed in zip(LAYERS.items(), seeds, strict=True):
        if tag in wanted:
            painter(scene, np.random.default_rng(seed))
    return _expose(scene, np.random.default_rng(exposure_seed))

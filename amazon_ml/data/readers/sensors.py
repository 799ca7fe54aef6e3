"""Names of spectral bands: finds a band by the name that a sensor, a file or a person gives it.

A common name (``blue``, ``red``, ``nir``, ``swir1``) means the same light for each sensor, while a number does not: B5
is near infrared on Landsat 8 and 9, and red edge on Sentinel-2. So numbers have a common name only where all names of a
file together show the sensor.

Sentinel-2: ESA, "Sentinel-2 MSI: spectral resolution". Landsat: USGS, "What are the band designations for the Landsat
satellites?". Planet: "PlanetScope product specifications", SuperDove.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

_SENTINEL_2 = {
    "B1": "coastal", "B2": "blue", "B3": "green", "B4": "red", "B5": "rededge1", "B6": "rededge2", "B7": "rededge3",
    "B8": "nir", "B8A": "nir08", "B9": "watervapour", "B10": "cirrus", "B11": "swir1", "B12": "swir2",
}  # fmt: skip
#: Landsat 8 and 9; Landsat 4 to 7.
_LANDSAT_8 = {"B1": "coastal", "B2": "blue", "B3": "green", "B4": "red", "B5": "nir", "B6": "swir1", "B7": "swir2"}
_LANDSAT_4 = {"B1": "blue", "B2": "green", "B3": "red", "B4": "nir", "B5": "swir1", "B7": "swir2"}
#: A sensor whose bands have numbers; landsat8 is Landsat 8 and 9, landsat4 is Landsat 4 to 7.
Sensor = Literal["sentinel2", "landsat8", "landsat4"]
SENSORS: Mapping[Sensor, Mapping[str, str]] = {
    "sentinel2": _SENTINEL_2, "landsat8": _LANDSAT_8, "landsat4": _LANDSAT_4
}  # fmt: skip
#: Other spellings of common names, in small letters without marks; Planet's names are among them.
_SPELLINGS = {
    "coastal": ("coastalblue", "coastalaerosol", "ultrablue", "aerosol"),
    "blue": ("b",),
    "green": ("g", "greenii"),
    "green1": ("greeni",),
    "yellow": ("y",),
    "red": ("r",),
    "rededge1": ("rededge", "re", "re1", "vre", "vre1", "rededge071"),
    "rededge2": ("re2", "vre2", "rededge075"),
    "rededge3": ("re3", "vre3", "rededge078"),
    "nir": ("n", "nir1", "nearinfrared"),
    "nir08": ("nir2", "narrownir", "nirnarrow"),
    "watervapour": ("watervapor", "nir09"),
    "cirrus": (),
    "swir1": ("swir16",),
    "swir2": ("swir22",),
}
_COMMON = {text: name for name, others in _SPELLINGS.items() for text in (name, *others)}
_NUMBERED = re.compile(r"(?:SR_)?B0*(\d{1,2}A?)(?![0-9a-z])", re.IGNORECASE)
#: The number of any sensor's band, such as B3N of ASTER; and the descriptions that GDAL gives to Sentinel-2.
_ANY_NUMBER = re.compile(r"(?:SR_)?B\d", re.IGNORECASE)
_BY_GDAL = re.compile(r"B\d{1,2}A?, central wavelength \d+ nm", re.IGNORECASE)


def spelled(name: str) -> str:
    """Write a name as all of its spellings: ``B2`` for B02, b2, SR_B2 and "B2, central wavelength 490 nm"."""
    numbered = _NUMBERED.match(name.strip())
    return f"B{numbered[1].upper()}" if numbered else re.sub(r"[\W_]+", "", name).casefold()


def common_names(names: Sequence[str]) -> dict[str, str]:
    """Find the bands of a file by their common names.

    Parameters
    ----------
    names
        Names of all bands of a file: together they show the sensor.

    Returns
    -------
    The name of each band by its common name. A common name that two bands share is left out.
    """
    numbers = _numbers(names)
    found: dict[str, list[str]] = {}
    for name in names:
        common = numbers.get(spelled(name)) or _COMMON.get(spelled(name))
        if common:
            found.setdefault(common, []).append(name)
    if "nir" not in found and "nir08" in found:
        found["nir"] = found["nir08"]  # the narrow band of Sentinel-2 lies within the wide one
    return {common: same[0] for common, same in found.items() if len(same) == 1}


def find_name(wanted: str, names: Sequence[str]) -> str | None:
    """Find a band by its name, another spelling of it, or its common name; None where there is none, or several."""
    same = find_spelling(wanted, names)
    common = _COMMON.get(spelled(wanted))
    return same if same is not None or common is None else common_names(names).get(common)


def find_spelling(wanted: str, names: Sequence[str]) -> str | None:
    """Find a band by its name or another spelling of it; None where there is none, or several."""
    if wanted in names:
        return wanted if list(names).count(wanted) == 1 else None
    same = [name for name in names if spelled(name) == spelled(wanted)]
    return same[0] if len(same) == 1 else None


def meanings(names: Iterable[str], sensor: Sensor | None = None) -> dict[str, str | None]:
    """Give the common name of each band; None where it is not known.

    Parameters
    ----------
    names
        Names of bands.
    sensor
        What the numbers count; by default what all names together show.
    """
    texts = list(names)
    numbers = _numbers(texts) if sensor is None else SENSORS[sensor]
    return {text: numbers.get(spelled(text)) or _COMMON.get(spelled(text)) for text in texts}


def shown_sensor(names: Iterable[str]) -> Sensor | None:
    """Find the sensor that the names of bands show by themselves; None where they do not."""
    found = _numbers(names)
    return next((sensor for sensor, numbers in SENSORS.items() if numbers is found), None)


def is_numbered(name: str) -> bool:
    """Whether a name is the number of a band, such as B5, B05 or SR_B5."""
    return _NUMBERED.match(name.strip()) is not None


def is_of_landsat(name: str) -> bool:
    """Whether a name is one that only Landsat's products have, such as SR_B5."""
    return name.strip().upper().startswith("SR_B")


def is_alpha(name: str) -> bool:
    """Whether a name is that of a band of transparency."""
    return spelled(name) in ("alpha", "mask", "opacity", "transparency")


def _numbers(names: Iterable[str]) -> Mapping[str, str]:
    """Give the common names of the numbers of a sensor; none where the names do not show it."""
    texts = [name.strip() for name in names]
    codes = {spelled(text) for text in texts if _NUMBERED.match(text)}
    if any(map(is_of_landsat, texts)):
        if "B6" in codes:
            return _LANDSAT_8
        return _LANDSAT_4 if codes == _LANDSAT_4.keys() else {}
    if not codes or not codes <= _SENTINEL_2.keys() or any(map(_is_foreign, texts)):
        return {}
    if "B8A" in codes or any(map(_BY_GDAL.match, texts)):
        return _SENTINEL_2
    # Without B8A, zeros in front tell Sentinel-2 from Landsat and its copies, but not names that only count the bands.
    # Landsat in the HLS set has B01 to B11 with zeros, but neither B08 nor B12.
    padded = any(re.match(r"B0\d", text, re.IGNORECASE) for text in texts)
    counted = len(codes) > 1 and codes == {f"B{at + 1}" for at in range(len(codes))}
    if padded and not counted and (codes & {"B8", "B12"} or codes <= {"B2", "B3", "B4"}):
        return _SENTINEL_2
    return {}


def _is_foreign(text: str) -> bool:
    """Whether a text begins like the number of a band, and is none of Sentinel-2 or Landsat, such as B3N."""
    return _ANY_NUMBER.match(text) is not None and _NUMBERED.match(text) is None

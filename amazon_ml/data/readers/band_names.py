"""Interprets the descriptions of the bands of a TIF: a colour, near infrared, transparency, or something else."""

import re
from collections.abc import Sequence
from functools import lru_cache

from amazon_ml.data.readers.sensors import meanings

#: Letters of a band of transparency, and of a band without a known name.
ALPHA, UNNAMED = "a", "?"
_WORDS = {
    **dict.fromkeys(("r", "red"), "r"),
    **dict.fromkeys(("g", "green"), "g"),
    **dict.fromkeys(("b", "blue"), "b"),
    **dict.fromkeys(("n", "nir", "nir1", "nearinfrared", "nearir"), "n"),
    **dict.fromkeys(("a", "alpha", "mask", "opacity", "transparency"), ALPHA),
}
#: Letters of the bands that have a number, by the light that the sensor gives it.
_LIGHTS = {"red": "r", "green": "g", "blue": "b", "nir": "n"}
#: The number of a band in B04, SR_B4 or T21_B04_10m, or what looks like one, such as B3N and B61.
_CODE = re.compile(r"(?:^|[\W_])((?:SR_)?B\d[0-9A-Z]*)(?=$|[\W_])", re.IGNORECASE)
#: Words that do not change a name beside them. With another word, such as edge in "red edge", the name is unknown.
_FILLERS = frozenset((
    "band", "bands", "channel", "layer", "reflectance", "surface", "sr", "toa", "boa", "sentinel", "landsat", "planet",
    "planetscope", "vis", "visible", "spectral", "wavelength", "nm", "um", "m", "colour", "color", "light", "mean",
    "median", "tif", "tiff",
))  # fmt: skip
#: Words before the number of a band, or alone, in descriptions without a name.
_GENERIC = frozenset(("", "b", "band", "bnd", "channel", "ch", "layer", "lyr", "gray", "grey", "undefined", "unknown"))


@lru_cache(256)  # the files of a folder share their descriptions
def letters_of(descriptions: tuple[str | None, ...]) -> tuple[str, tuple[str, ...]]:
    """Find the letter of each band by its description.

    Returns
    -------
    The letters, `UNNAMED` where there is none; and the descriptions with an unknown name. ``Band 1`` and the like
    hold no name. A number such as B5 has a letter only where all numbers together show their sensor.
    """
    texts = [re.sub(r"\((gray|grey|undefined)\)", "", text or "", flags=re.IGNORECASE).strip() for text in descriptions]
    if _count_up(texts):
        return UNNAMED * len(texts), ()
    codes = [_code(text) for text in texts]
    lights = meanings([code for code in codes if code])
    letters = [_letter(text, lights.get(code)) for text, code in zip(texts, codes, strict=True)]
    unclear = [text for at, text in enumerate(texts) if letters[at] == UNNAMED and not _is_generic(text, at)]
    return "".join(letters), tuple(unclear)


def join_colours(descriptions: tuple[str | None, ...], by_colour: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Name each band by its description, or by its colour interpretation if no description has a name.

    Returns
    -------
    As `letters_of`; descriptions with an unknown name only where no other band has one.
    """
    described, unclear = letters_of(descriptions)
    if not unclear and not set(described) & set("rgbn"):
        return "".join(by_colour), ()
    pairs = zip(described, by_colour, strict=True)
    letters = "".join(other if own == UNNAMED and other == ALPHA else own for own, other in pairs)
    return letters, () if set(letters) & set("rgbn") else unclear


def _letter(text: str, light: str | None) -> str:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    plain = re.sub(r"[\W_]+", " ", spaced).strip().lower()
    plain = re.sub(r"\bnear (infrared|ir)\b", r"near\1", plain)
    plain = re.sub(r"\bnir (\d)\b", r"nir\1", plain)
    words = [word for word in plain.split() if word not in _FILLERS]
    named = {_WORDS[word] for word in words if word in _WORDS}
    others = [word for word in words if word not in _WORDS and not re.search(r"\d", word)]
    if others or len(named) > 1 or re.search(r"\bnir[02-9]", plain):
        return UNNAMED
    if named:
        return named.pop()
    return _LIGHTS.get(light or "", UNNAMED)


def _code(text: str) -> str:
    """Find the number of a band in a description; an empty text where there is none, or several."""
    found = _CODE.findall(text)
    return found[0] if len(found) == 1 else ""


def _is_generic(text: str, at: int) -> bool:
    stem, number = _parted(text)
    return stem.lower() in _GENERIC and stem != "B" and number in (None, at, at + 1)


def _count_up(texts: Sequence[str]) -> bool:
    """Whether all descriptions are equal except for a number that counts the bands."""
    stems, numbers = zip(*map(_parted, texts), strict=True)
    if len(texts) < 2 or len(set(stems)) > 1 or re.search(r"(?:B|_b)$", stems[0]):
        return False
    return set(numbers) == {None} or list(numbers) in ([*range(len(texts))], [*range(1, len(texts) + 1)])


def _parted(text: str) -> tuple[str, int | None]:
    """Split a description from the number at its end."""
    stem, number = re.fullmatch(r"(.*?)(\d*)", text, flags=re.DOTALL).groups()  # type: ignore[union-attr]
    return stem.rstrip(" _.-#:"), int(number) if number else None

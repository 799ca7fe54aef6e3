"""Charts as SVG: scales and marks. Their colours come from the style of the page, also in dark mode."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

Values = Sequence[float] | npt.NDArray[np.float64]
#: Values of ticks, with their labels.
Ticks = Sequence[tuple[float, str]]

#: Probabilities are limited by this before log odds are computed, since those of 0 and 1 are infinite.
_EDGE = 1e-6


@dataclass(frozen=True)
class Scale:
    """A map from values to places in a picture.

    Parameters
    ----------
    low, high
        Values at the ends; values beyond them are put at the ends.
    start, end
        Places of the ends, in units of the picture.
    log_odds
        Whether values are probabilities that are spaced by log odds.
    """

    low: float
    high: float
    start: float
    end: float
    log_odds: bool = False

    def __call__(self, value: float) -> float:
        """Give the place of a value."""
        low, high, at = (self._spaced(one) for one in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + (self.end - self.start) * min(max(share, 0.0), 1.0)

    def _spaced(self, value: float) -> float:
        if not self.log_odds:
            return value
        held = min(max(value, _EDGE), 1 - _EDGE)
        return math.log(held / (1 - held))


def picture(width: float, height: float, marks: Iterable[str], alt: str, kind: str = "chart") -> str:
    """Put marks together; `alt` is the text for screen readers."""
    return (
        f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(alt)}">'
        f"{''.join(marks)}</svg>"
    )


def axes(x: Scale, y: Scale, x_ticks: Ticks, y_ticks: Ticks, label: str = "") -> str:
    """Draw ticks with grid lines, and the label of the horizontal axis."""
    across = "".join(
        f'<line class="grid-line" x1="{x.start:g}" x2="{x.end:g}" y1="{y(at):.1f}" y2="{y(at):.1f}"/>'
        + text(x.start - 5, y(at) + 4, shown, "end")
        for at, shown in y_ticks
    )
    along = "".join(text(x(at), y.start + 14, shown) for at, shown in x_ticks)
    return across + along + (text((x.start + x.end) / 2, y.start + 28, label) if label else "")


def text(x: float, y: float, shown: str, anchor: str = "middle", turn: float = 0) -> str:
    """Write text with its start, middle or end at a place, turned by degrees."""
    turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned}>{escape(shown)}</text>'


def polyline(x: Scale, y: Scale, xs: Values, ys: Values, kind: str) -> str:
    """Draw a line through points; a single point is a dot."""
    points = [(x(a), y(b)) for a, b in zip(xs, ys, strict=True)]
    if len(points) == 1:
        return f'<circle class="{kind}" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3"/>'
    return f'<polyline class="{kind}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>'


def segment(x: Scale, y: Scale, start: tuple[float, float], end: tuple[float, float], kind: str) -> str:
    """Draw a straight line between two points, given as values."""
    (a, b), (c, d) = start, end
    return f'<line class="{kind}" x1="{x(a):.1f}" y1="{y(b):.1f}" x2="{x(c):.1f}" y2="{y(d):.1f}"/>'


def band(x: Scale, y: Scale, low: float, high: float, kind: str) -> str:
    """Shade the full height between two values, at least two units wide."""
    width = max(x(high) - x(low), 2.0)
    return f'<rect class="{kind}" x="{x(low):.1f}" y="{y.end:g}" width="{width:.1f}" height="{y.start - y.end:g}"/>'


def strip(low: float, high: float, interval: Sequence[float], value: float, alt: str) -> str:
    """Draw an interval and a value on a strip from low to high, with a mark at zero where that lies between."""
    x, y = Scale(low, high, 2, 158), Scale(0, 1, 14, 2)
    zero = segment(x, y, (0, 0), (0, 1), "faint") if low < 0 < high else ""
    middle = f'<circle class="mean" cx="{x(value):.1f}" cy="8" r="3.5"/>'
    inner = Scale(0, 1, 11, 5)
    return picture(160, 16, [zero, band(x, inner, interval[0], interval[1], "interval"), middle], alt, "strip")


def ticks(low: float, high: float, count: int = 5) -> list[tuple[float, str]]:
    """Choose round values from low to high, evenly spaced, in at most `count` steps."""
    span = max(high - low, 1e-9)
    power = 10 ** math.floor(math.log10(span / count))
    step = next(power * times for times in (1, 2, 5, 10) if span / (power * times) <= count)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(n * step, f"{n * step:.{digits}f}") for n in range(first, last + 1)]

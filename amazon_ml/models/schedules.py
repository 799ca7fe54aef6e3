"""Schedules of the learning rate."""

import math


def _cosine_between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, share))) / 2


def _one_cycle(done: float, warmup: float) -> float:
    """Rise and fall along cosines, from 1/25 to 1 to nearly 0 (Smith and Topin 2018)."""
    if done < warmup:
        return _cosine_between(1 / 25, 1.0, done / warmup)
    return _cosine_between(1.0, 1e-5, (done - warmup) / max(1e-9, 1 - warmup))


def _cosine(done: float, warmup: float) -> float:
    """Rise along a line, fall along a cosine (Loshchilov and Hutter 2017)."""
    if done < warmup:
        return max(1e-3, done / warmup)
    return _cosine_between(1.0, 0.0, (done - warmup) / max(1e-9, 1 - warmup))


def _constant(done: float, warmup: float) -> float:
    return 1.0


#: Schedules by name: the learning rate as a share of the highest, after a share of the steps.
SCHEDULES = {"one_cycle": _one_cycle, "cosine": _cosine, "constant": _constant}

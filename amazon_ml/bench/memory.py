"""A network on the CPU, whose freed memory is kept for the next layer, or returned to the system."""

from collections.abc import Callable

import torch

from amazon_ml.bench.measure import Contest, Ratio
from amazon_ml.bench.training import Setting, bare_loop, untrained
from amazon_ml.data.loading import Batch
from amazon_ml.heap import keep_freed, set_thresholds
from amazon_ml.labels import PLANET


def freed_memory(setting: Setting) -> Contest:
    """Train and predict on noise, which takes as long as tiles do, with the C library as it is and as we set it."""
    module = untrained(PLANET.names, setting)
    shape = (setting.batch, setting.size, setting.size, 3)
    batch: Batch = {
        "image": torch.randint(0, 256, shape, dtype=torch.uint8),
        "target": torch.zeros(setting.batch, len(PLANET)),
    }
    batches = [batch] * setting.steps

    def train() -> None:
        bare_loop(module.train(), batches, setting)

    def predict() -> None:
        module.eval()
        with torch.inference_mode():
            for each in batches:
                module(each["image"])

    works = {"training": train, "predicting": predict}
    runs: dict[str, Callable[[], None]] = {}
    for what, work in works.items():
        runs[f"{what}, memory kept"] = _after(keep_freed, work)
        runs[f"{what}, returned"] = _after(_return_freed, work)
    ratios = [
        Ratio(f"{what}, {setting.size} px: memory kept / returned", f"{what}, memory kept", f"{what}, returned")
        for what in works
    ]
    return Contest(runs, ratios, tiles=setting.steps * setting.batch, one_core=True)


def _return_freed() -> None:
    """Do as glibc does by itself, where large blocks are freed time and again: mallopt(3) has the numbers."""
    set_thresholds(mapped=2**25, trimmed=2**26)


def _after(first: Callable[[], object], then: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        first()
        then()

    return both

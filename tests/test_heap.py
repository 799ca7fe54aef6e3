"""Memory that is freed is handed out again: counted, in processes of their own, in pages that the system cleared."""

import ctypes
import json
import os
import subprocess
import sys
from typing import Any

import forked
import pytest

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")

#: Variables of an environment in which nobody has set memory.
PLAIN = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
#: Counts the pages that one large block costs, after another such block was freed.
COUNT = """
import json, resource, sys
import numpy as np
from amazon_ml.runtime.allocator import keep_freed_memory

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def cost(block=lambda: np.ones(2**27, dtype=np.uint8)):
    block()
    counts = []
    for _ in range(3):  # what is small may be put where the block lay, which costs a new place for the next one, once
        before = pages()
        block()
        counts.append(pages() - before)
    return min(counts)
"""
#: Predicts with a small network, as every verb that predicts does.
PREDICT = """
import torch
from torch.utils.data import DataLoader
from amazon_ml.models.tagger import TileTagger
from amazon_ml.training.fit import predict

tagger = TileTagger(["a"], "test_resnet", pretrained=False, size=32)
batch = {"image": torch.zeros(1, 32, 32, 3, dtype=torch.uint8), "index": torch.arange(1)}
trainer = {"accelerator": "cpu", "precision": None, "enable_progress_bar": False}
before = cost()
predict(tagger, DataLoader([batch], batch_size=None), {"trainer": trainer})
print(json.dumps([before, cost(), cost(lambda: torch.ones(2**27, dtype=torch.uint8))]))
"""


def told(code: str, **environment: str) -> Any:
    """Run code in a new interpreter whose memory nobody has set; gives what it prints, from JSON."""
    ran = subprocess.run(
        [sys.executable, "-c", COUNT + code], env=PLAIN | environment, check=True, capture_output=True, text=True
    )
    return json.loads(ran.stdout.splitlines()[-1])


def test_a_freed_block_costs_no_new_pages() -> None:
    before, kept, after = told("print(json.dumps([cost(), keep_freed_memory(), cost()]))")
    assert kept and before > 50 and after < before / 10


@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_TRIM_THRESHOLD_", "131072"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072")]
)
def test_what_the_environment_says_stays(name: str, value: str) -> None:
    kept, after = told("print(json.dumps([keep_freed_memory(), cost()]))", **{name: value})
    assert not kept and after > 50


def test_other_settings_of_the_environment_do_not_matter() -> None:
    others = {"MALLOC_ARENA_MAX": "4", "GLIBC_TUNABLES": "glibc.pthread.rseq=0"}
    assert told("print(json.dumps(keep_freed_memory()))", **others) is True


def test_prediction_keeps_what_it_frees_of_arrays_and_tensors() -> None:
    done = forked.run(["-c", COUNT + PREDICT], environment=PLAIN, early=True)
    before, array, tensor = json.loads(done.stdout.splitlines()[-1])
    assert before > 50 and array < before / 10 and tensor < before / 10

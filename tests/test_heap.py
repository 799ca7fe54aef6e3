"""Memory that is freed is handed out again: counted in pages that the system had to clear."""

import ctypes
import resource
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from amazon_ml.data.loading import Batch
from amazon_ml.heap import keep_freed, set_thresholds
from amazon_ml.models.tagger import TileTagger
from amazon_ml.runs.fit import predict

#: Bytes of a block that glibc gives back to the system by itself.
LARGE = 2**27

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")


@pytest.fixture(autouse=True)
def given_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the C library do as it does by itself, before and afterwards."""
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    set_thresholds(mapped=2**25, trimmed=2**26)
    yield
    set_thresholds(mapped=2**25, trimmed=2**26)


def faults() -> int:
    """Count the pages that this process was given so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def faults_of_a_block() -> int:
    """Count those that one large block costs, after another such block was freed."""
    np.ones(LARGE, dtype=np.uint8)
    before = faults()
    np.ones(LARGE, dtype=np.uint8)
    return faults() - before


def test_a_freed_block_costs_no_new_pages() -> None:
    dear = faults_of_a_block()
    assert keep_freed()
    assert dear > 50 and faults_of_a_block() < dear / 10


def test_tensors_are_such_blocks() -> None:
    assert keep_freed()
    torch.ones(LARGE, dtype=torch.uint8)
    before = faults()
    torch.ones(LARGE, dtype=torch.uint8)
    assert faults() - before < 10


@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_TRIM_THRESHOLD_", "131072"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072")]
)
def test_what_the_environment_says_stays(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert not keep_freed() and faults_of_a_block() > 50


def test_other_settings_of_the_environment_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0")
    assert keep_freed()


def test_prediction_keeps_what_it_frees() -> None:
    tagger = TileTagger(["a"], "test_resnet", pretrained=False, size=32)
    batch: Batch = {"image": torch.zeros(1, 32, 32, 3, dtype=torch.uint8), "index": torch.arange(1)}
    loader: DataLoader[Batch] = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    dear = faults_of_a_block()
    predict(tagger, loader, {"trainer": {"accelerator": "cpu", "precision": None, "enable_progress_bar": False}})
    assert faults_of_a_block() < dear / 10

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amazon_ml.data.augment.draws import hashed

WORD = st.integers(0, 2**64 - 1)


def test_one_word_gives_the_published_outputs_of_splitmix64() -> None:
    step = 0x9E3779B97F4A7C15  # of its state, from one output to the next
    states = [(1234567 + i * step) % 2**64 for i in range(3)]
    assert hashed(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.lists(WORD, min_size=1, max_size=5), WORD, WORD)
def test_batch_gives_what_each_alone_gives(indices: list[int], seed: int, epoch: int) -> None:
    alone = [int(hashed(seed, epoch, index)[0]) for index in indices]
    assert hashed(seed, epoch, np.array(indices, dtype=np.uint64)).tolist() == alone
    assert hashed(seed, np.full(len(indices), epoch, dtype=np.uint64), indices).tolist() == alone


def test_neighbours_in_every_place_have_nothing_in_common() -> None:
    grid = hashed(np.arange(40)[:, None, None], np.arange(40)[:, None], np.arange(40))
    assert grid.shape == (40, 40, 40)
    assert len(np.unique(grid)) == grid.size
    bits = np.unpackbits(grid.view(np.uint8)).reshape(40, 40, 40, 64).astype(float)
    # 64 bits, each a fair coin thrown 64,000 times: its deviation is 0.002.
    assert abs(bits.mean(axis=(0, 1, 2)) - 0.5).max() < 0.01
    for axis in range(3):
        near = np.swapaxes(bits, 0, axis)
        agree = (near[1:] == near[:-1]).mean(axis=(0, 1, 2))
        assert abs(agree - 0.5).max() < 0.01


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(OverflowError):
        hashed(-1)

"""The number of threads is that of before, whatever happened in between."""

import contextlib

import torch

from oceaninv.threads import one_thread


def test_one_thread_inside_and_as_before_outside() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    inside = 0
    try:
        with contextlib.suppress(KeyError), one_thread():
            inside = torch.get_num_threads()
            raise KeyError
        assert (inside, torch.get_num_threads()) == (1, 3)
    finally:
        torch.set_num_threads(before)

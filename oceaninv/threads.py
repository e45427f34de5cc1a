"""How many threads torch uses."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Small networks gain next to nothing by threads, which wait for each other.

    On an idle machine two train one network 1.1 times as fast as one does; where another process
    has a core, they take four to eight times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

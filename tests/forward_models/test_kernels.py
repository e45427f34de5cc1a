"""What compiling kernels leaves behind."""

from __future__ import annotations

import gc

import pytest
from numba import njit

from forward_models.normal_modes import kernels


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_off_while_kernels_compile_and_then_as_before(
    enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    during = []
    compiled_at_all = kernels._CollectorOff.on_end

    def look(self: kernels._CollectorOff, event: object) -> None:
        during.append(gc.isenabled())
        compiled_at_all(self, event)  # type: ignore[arg-type]

    monkeypatch.setattr(kernels._CollectorOff, "on_end", look)
    (gc.enable if enabled else gc.disable)()
    try:
        assert njit(lambda x: x + 1)(1) == 2
        assert during
        assert not any(during)
        assert gc.isenabled() == enabled
    finally:
        gc.enable()

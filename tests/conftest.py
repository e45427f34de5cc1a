"""What every test shares: reproducible property tests, and figures that need no screen."""

from __future__ import annotations

import matplotlib as mpl
from hypothesis import settings

mpl.use("agg")
settings.register_profile("oceaninv", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("oceaninv")

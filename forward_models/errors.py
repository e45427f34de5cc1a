"""The one error that the forward models raise for input they cannot use."""

from __future__ import annotations


class ModelInputError(ValueError):
    """Input that names no solvable problem; the message names the field, the value and the mend."""

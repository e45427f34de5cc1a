"""Figures and the report."""

from oceaninv.report.document import report

__all__ = ["report"]

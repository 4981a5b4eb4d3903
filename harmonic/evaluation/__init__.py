"""Metrics and the report: `evaluate(real=..., synthetic=..., holdout=..., schema=...) -> Report`."""

from harmonic.evaluation.figures import Figure
from harmonic.evaluation.report import Report
from harmonic.evaluation.suite import evaluate

__all__ = ["Figure", "Report", "evaluate"]

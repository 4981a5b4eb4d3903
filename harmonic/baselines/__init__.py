"""Generators without a model, to keep the learnt one honest.

What enters is the training rows and their schema (`fit`); what leaves is a frame of the same columns and exact dtypes
(`sample`). They stand in every report as floor and ceiling: a learnt generator that is no better than these has learnt
nothing.
"""

from harmonic.baselines.copula import GaussianCopula
from harmonic.baselines.marginals import ClassConditionalMarginals, IndependentMarginals, ResampledRows
from harmonic.baselines.picks import Picks, checked_train, numbers, take, target_classes
from harmonic.baselines.smote import Smote

__all__ = [
    "ClassConditionalMarginals",
    "GaussianCopula",
    "IndependentMarginals",
    "Picks",
    "ResampledRows",
    "Smote",
    "checked_train",
    "numbers",
    "take",
    "target_classes",
]

"""What a run's report asks of language models: does its own give rows away, and what do its rows teach another?

What enters is a run with its training and holdout rows; what leaves is a `WhiteBox` and an `Lle` for `evaluate`. Both
load the run's base once more, in its own precision: a report on tables alone does without either.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from harmonic.baselines import ClassConditionalMarginals
from harmonic.building import build_harmonic
from harmonic.config import Config, EvaluateSection
from harmonic.evaluation.lle import Lle, measure_lle
from harmonic.evaluation.llm import attack_model
from harmonic.evaluation.whitebox import WhiteBox
from harmonic.model.load import LoadedModel, load_model
from harmonic.model.merge import merge
from harmonic.run import Run
from harmonic.table.schema import Schema
from harmonic.table.splits import Parts

log = logging.getLogger(__name__)


def attacked(
    run: Run, config: Config, settings: EvaluateSection, schema: Schema, parts: Parts
) -> WhiteBox | None:
    """What the run's own model gives away; None where nothing was trained, or nobody asks."""
    if not settings.model_rows or not run.has("adapter"):
        return None
    fitted = build_harmonic(config).load(parts.train, schema, run.path("adapter"))
    return attack_model(
        fitted,
        members=parts.train,
        holdout=pd.concat([parts.test, parts.twins], ignore_index=True),
        seed=settings.seed,
        n_rows=settings.model_rows,
        progress=log.info,
    )


def taught(
    config: Config, schema: Schema, parts: Parts, synthetic: pd.DataFrame, settings: EvaluateSection
) -> Lle | None:
    """What synthetic rows teach a language model beside real rows and marginals by class, as many of each; None where
    [lle] is absent, or the table has no target."""
    if config.lle is None or schema.target is None:
        return None
    n_rows = min(len(synthetic), len(parts.train))
    by_class = ClassConditionalMarginals().fit(parts.train, schema).sample(n_rows, settings.seed)
    tables = {"synthetic": synthetic.head(n_rows), "real": parts.train, "class_conditional": by_class}
    return measure_lle(
        tables,
        parts.test,
        schema,
        lambda adapter: load_base(config, adapter, trainable=adapter is None),
        settings=config.lle,
        seed=settings.seed,
        progress=log.info,
    )


def load_base(config: Config, adapter: Path | None = None, *, trainable: bool = False) -> LoadedModel:
    """The run's base as it is, or to be trained, or under the adapter of a folder."""
    model = config.model
    loaded = load_model(
        model.base,
        revision=model.revision,
        adapter=adapter,
        quantization=config.quantization,
        dtype=model.dtype,
        device=model.device,
        trainable=trainable,
    )
    # As in sampling: in whole weights the adapter merges away.
    is_merged = adapter is not None and config.quantization is None
    return merge(loaded).loaded if is_merged else loaded

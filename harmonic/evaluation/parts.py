"""The parts of a report: what is measured, on which rows, and how much work that may be.

What enters is the frames by role, as `roles` left them, and a `Suite`; what leaves is validity, fidelity, rivals,
utility and privacy, all on the codes of one codebook, which are made once. Utility and shapes are measured on a random
part of very large tables, attacks on all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from harmonic.baselines import (
    ClassConditionalMarginals,
    GaussianCopula,
    IndependentMarginals,
    ResampledRows,
    Smote,
)
from harmonic.evaluation.attacks import Tables
from harmonic.evaluation.codes import Codebook, Codes
from harmonic.evaluation.echoes import PromptEcho
from harmonic.evaluation.fidelity import Fidelity, measure_fidelity
from harmonic.evaluation.figures import Progress
from harmonic.evaluation.idcopies import count_id_copies
from harmonic.evaluation.privacy import Privacy, measure_privacy
from harmonic.evaluation.rivals import Rival, measure_rivals
from harmonic.evaluation.utility import Extent, Utility, measure_utility
from harmonic.evaluation.validity import Validity, measure_validity
from harmonic.evaluation.whitebox import WhiteBox
from harmonic.table.schema import Schema

STREAM_SUBSAMPLE = 501

SOURCES = ("synthetic", "real", "resampled", "smote", "copula", "class_conditional", "independent")
"""What models are trained on, in the order of the report."""

Baseline = ResampledRows | Smote | GaussianCopula | ClassConditionalMarginals | IndependentMarginals


@dataclass(frozen=True)
class Suite:
    """How much work a report is. Larger tables are cut to these row counts at random, and the report says so."""

    max_rows: int
    """Rows of any table in shapes, trends and utility."""
    c2st_rows: int
    """Rows a side in the two-sample test."""
    c2st_repeats: int
    attack_rows: int
    """Rows that look for their nearest neighbour: members, controls, synthetic rows each."""
    attack_base: int
    """Published rows they look among."""
    bootstrap: int
    extent: Extent
    """What of the costly utility is measured."""
    protocols: bool = False
    """Whether the papers' own protocols are run, too (grid searches, XGBoost)."""
    n_jobs: int = 2
    """Threads of the random forests; all else keeps to one."""


@dataclass(frozen=True)
class Bench:
    """The tables of one report, ready to be measured."""

    frames: Mapping[str, pd.DataFrame]
    """By role: "real", "synthetic", "holdout" and perhaps "reference"."""
    drawn: pd.DataFrame
    """The holdout with the rows that training rows equal."""
    is_natural: bool
    """Whether such rows are the table's nature (`Roles.is_natural`)."""
    schema: Schema
    suite: Suite
    seed: int
    say: Progress

    @cached_property
    def codebook(self) -> Codebook:
        return Codebook(self.schema, [*self.frames.values(), self.drawn])

    @cached_property
    def whole(self) -> dict[str, Codes]:
        """All rows, by role."""
        return {name: self.codebook.encode(frame) for name, frame in self.frames.items()}

    @cached_property
    def baselines(self) -> dict[str, Codes]:
        """As many rows of each baseline as the synthetic table shows."""
        n_rows = min(len(self.frames["synthetic"]), self.suite.max_rows)
        generators: dict[str, Baseline] = {
            "resampled": ResampledRows(),
            "smote": Smote(),
            "copula": GaussianCopula(),
            "independent": IndependentMarginals(),
        }
        if self.schema.target is not None:
            generators["class_conditional"] = ClassConditionalMarginals()
        return {
            name: self.codebook.encode(
                generator.fit(self.frames["real"], self.schema).sample(n_rows, self.seed)
            )
            for name, generator in generators.items()
        }

    @cached_property
    def cut(self) -> dict[str, Codes]:
        """At most `max_rows` rows of each role, and the baselines."""
        generator = np.random.default_rng([self.seed, STREAM_SUBSAMPLE])
        heads = {name: table.head(self.suite.max_rows, generator) for name, table in self.whole.items()}
        return heads | self.baselines

    @property
    def sources(self) -> dict[str, Codes]:
        """What models are trained on, in the order of the report."""
        return {name: self.cut[name] for name in SOURCES if name in self.cut}

    def validity(self, rejects: Mapping[str, int]) -> Validity:
        """`rejects`: refused rows by reason."""
        self.say("validity: rows, twins and gaps")
        return measure_validity(self.frames, self.whole, self.schema, rejects, self.seed)

    def fidelity(self) -> Fidelity:
        return measure_fidelity(
            self.cut,
            seed=self.seed,
            c2st_rows=self.suite.c2st_rows,
            c2st_repeats=self.suite.c2st_repeats,
            progress=self.say,
        )

    def rivals(self) -> tuple[Rival, ...]:
        rows = {name: table for name, table in self.sources.items() if name in self.baselines}
        rows.pop("independent")
        return measure_rivals(
            rows, self.cut["holdout"], seed=self.seed, c2st_rows=self.suite.c2st_rows, progress=self.say
        )

    def utility(self) -> Utility:
        return measure_utility(
            self.sources,
            self.cut["holdout"],
            self.schema,
            seed=self.seed,
            n_draws=self.suite.bootstrap,
            n_jobs=self.suite.n_jobs,
            progress=self.say,
            extent=self.suite.extent,
        )

    def privacy(
        self,
        rejects: Mapping[str, int],
        prompts: PromptEcho,
        white_box: WhiteBox,
        caveats: tuple[str, ...] = (),
    ) -> Privacy:
        """Attacks see what was published whole; reasons of `rejects` that begin with "copy" count as copies."""
        drawn = self.codebook.encode(self.drawn)
        tables = Tables(
            real=self.whole["real"],
            synthetic=self.whole["synthetic"],
            holdout=drawn if self.is_natural else self.whole["holdout"],
            drawn=drawn,
            independent=self.baselines["independent"],
            resampled=self.baselines["resampled"],
            reference=self.whole.get("reference"),
        )
        return measure_privacy(
            tables,
            n_rejected_copies=sum(n for reason, n in rejects.items() if reason.startswith("copy")),
            seed=self.seed,
            max_rows=self.suite.attack_rows,
            max_base=self.suite.attack_base,
            progress=self.say,
            prompts=prompts,
            white_box=white_box,
            identifiers=count_id_copies({**self.frames, "holdout": self.drawn}, self.schema),
            caveats=caveats,
        )

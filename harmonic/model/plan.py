"""The plan of a training: how many steps its budget buys, settled once and kept.

What enters is a base, its instructions and the settings; what leaves is a `Plan`, written into trainer/ before the
first step. A resumed training reads it back, so that a budget in minutes buys no other number of steps on a second
look, and is refused if it wants something else than it began with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import TrainingArguments

from harmonic.config import BudgetSection
from harmonic.errors import HarmonicError
from harmonic.files import mend_folder, read_json, remove, write_json
from harmonic.model.visits import Reader, Visits, VisitSet, measure

_FILE = "plan.json"
_SAMPLED = 512
"""Instructions measured for the mean length."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How training proceeds: visits a micro-batch, micro-batches a step, processes, passes over the rows."""

    batch: int
    accumulation: int
    world: int
    passes: float
    max_steps: int
    """0 = no limit."""
    checkpointing: bool | None
    """None = by device."""

    @property
    def per_step(self) -> int:
        """Visits a step, all processes together."""
        return self.batch * self.accumulation * self.world


@dataclass(frozen=True)
class Plan:
    """What a training sets out to do."""

    steps: int
    visits: int
    per_step: int
    wish: Mapping[str, Any]
    """Base, method, settings, budget and seed as plain data: what must not change between start and end."""

    def tokens_by_step(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens seen after each step, int64 [steps], given those of each visit."""
        ends = np.minimum(np.arange(1, self.steps + 1) * self.per_step, self.visits)
        return np.asarray(np.cumsum(lengths)[ends - 1])


def training_shape(settings: Mapping[str, Any], world: int = 1) -> Shape:
    """How training proceeds under these [train] keys in `world` processes."""
    values: dict[str, Any] = {field.name: field.default for field in fields(TrainingArguments)} | dict(
        settings
    )
    return Shape(
        batch=int(values["per_device_train_batch_size"]),
        accumulation=int(values["gradient_accumulation_steps"]),
        world=world,
        passes=float(values["num_train_epochs"]),
        max_steps=max(0, int(values["max_steps"])),
        checkpointing=settings.get("gradient_checkpointing"),
    )


def plan_steps(
    budget: BudgetSection, shape: Shape, per_pass: int, mean_length: float, pace: float
) -> tuple[int, int]:
    """Steps and visits that a budget buys; `pace` is seconds a token in one process.

    Without a budget it is `passes` passes, the last step perhaps smaller; in any case `max_steps` steps and
    `most_tokens` tokens at most.
    """
    visits = None
    if budget.steps is not None:
        steps = budget.steps
    elif budget.tokens is not None:
        steps = max(1, round(budget.tokens / mean_length / shape.per_step))
    elif budget.minutes is not None:
        # A tenth is kept for validation, saving and a pace that flags; what is over is cut by the clock.
        steps = max(1, int(0.9 * 60 * budget.minutes / pace * shape.world / mean_length / shape.per_step))
    else:
        visits = max(1, round(shape.passes * per_pass))
        steps = math.ceil(visits / shape.per_step)
    bounds = [shape.max_steps] if shape.max_steps else []
    if budget.most_tokens is not None:
        bounds.append(max(1, round(budget.most_tokens / mean_length / shape.per_step)))
    if bounds and steps > min(bounds):
        steps, visits = min(bounds), None
    return steps, visits if visits is not None else steps * shape.per_step


def sample_lengths(train: Visits, limit: int, reader: Reader, batch: int) -> NDArray[np.int64]:
    """Tokens read of the first instructions of a pass, int64. Raises HarmonicError for one over `limit`."""
    first = VisitSet(train, min(train.per_pass, _SAMPLED))
    return measure(first, limit, "Training instruction", reader, batch)


def saved_plan(folder: Path, wish: Mapping[str, Any], per_step: int, resume: bool) -> Plan | None:
    """The plan that stands in trainer/, None if there is none.

    Raises HarmonicError if there is one and nothing is resumed, or if it is another training's.
    """
    if folder.is_dir():
        mend_folder(folder)
    if not (folder / _FILE).is_file():
        return None
    if not resume:
        raise HarmonicError(
            f"{str(folder)!r}: a training was begun here. Go on with --resume, or start over with --force."
        )
    plan = Plan(**read_json(folder / _FILE))
    wanted = json.loads(json.dumps(wish))
    changed = [key for key in wanted if wanted[key] != plan.wish.get(key)]
    if changed:
        raise HarmonicError(
            f"{str(folder)!r}: this training was begun with {changed[0]} = {plan.wish.get(changed[0])!r}, not "
            f"{wanted[changed[0]]!r}. Resume it with the same settings, or start over with --force."
        )
    if plan.per_step != per_step:
        raise HarmonicError(
            f"{str(folder)!r}: this training was begun with {plan.per_step} instructions a step, not {per_step}. "
            "Resume it with the same number of processes and batch size, or start over with --force."
        )
    return plan


def settle(args: TrainingArguments, steps: int) -> None:
    """Tells the trainer how many steps there are. A warm-up of one step would be a step at rate 0, whose weights, the
    base's, might count as the best ones: short trainings have none."""
    args.max_steps = steps
    if 0 < args.warmup_steps < 1 and steps * args.warmup_steps <= 1:
        args.warmup_steps = 0


def save_plan(folder: Path, plan: Plan) -> None:
    """Writes the plan; what an unplanned training may have left there is taken away."""
    for left in folder.glob("checkpoint-*"):
        remove(left)
    write_json(folder / _FILE, asdict(plan))

"""What a base knows of tables before any fine-tuning: bits a cell of unseen rows, given 0, 4, 16 and 64 examples.

Each test row has a context of its own, with examples drawn from the training rows; the fewer examples are the first of
the more. Probabilities are those under the mask. Beside them stand densities made of the same rows (`estimates`), over
the same cells. The header names bounds and levels of all training rows, commonest first: that is what a base is told
without an example, and what marginals do not use. No table here was ever trained on.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.estimates import ESTIMATES, encode
from benchmarks.fewrows import TUNING, read_tuning
from harmonic import read_table
from harmonic.config import config_from_dict
from harmonic.decode.sampler import Grammar, Sampler
from harmonic.model.load import LoadedModel, load_model
from harmonic.prompt.fitting import fit_codec
from harmonic.prompt.instructions import write_instruction
from harmonic.prompt.rows import Codec
from harmonic.settings import apply_overrides
from harmonic.table.cells import from_rows, to_rows, validate
from harmonic.table.infer import infer_schema
from harmonic.table.schema import Row, Schema

SHOWN = (0, 4, 16, 64)
N_ASKED = 48
_N_TRAIN = 800
OTHERS = {
    "adult": ("tables/adult.csv.gz", "income"),
    "insurance": ("tables/insurance.csv.gz", "charges"),
    "german": ("tables/credit_g.csv.gz", "class"),
    "diabetes": ("tables/pima_diabetes.csv.gz", "Outcome"),
    "buddy": ("harmonic_splits/buddy_train.csv.gz", "breed_category"),
}
"""The tables of the report; the others are those that defaults are chosen on."""
TABLES = (*TUNING, *OTHERS)


@dataclass(frozen=True)
class Task:
    """A table's training and test rows."""

    schema: Schema
    train: list[Row]
    asked: list[Row]

    @property
    def target(self) -> int | None:
        names = [column.name for column in self.schema.modelled]
        return names.index(self.schema.target) if self.schema.target in names else None


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row a table: bits a cell of each estimate, by examples; at the end, on how many tables they fall."""
    config = config_from_dict(apply_overrides({"table": {"source": "of its own"}}, arguments.set))
    loaded = load_model(config.model.base, device=config.model.device, dtype=config.model.dtype or "float32")
    found: list[dict[str, list[float]]] = []
    for name in arguments.only or TABLES:
        task = _task(arguments, name)
        bits, n_shown = _bits(task, loaded)
        found.append(bits)
        yield {"table": name, "shown": n_shown} | {
            key: " ".join(f"{value:.2f}" for value in values) for key, values in bits.items()
        }
    yield _summary(found)


def _task(arguments: Namespace, name: str) -> Task:
    if name in TUNING:
        table = read_tuning(arguments.data_dir, name)
        target = TUNING[name].target
    else:
        file, target = OTHERS[name]
        table, _ = read_table(arguments.data_dir / file, target=target)
    table = table.sample(frac=1.0, random_state=0, ignore_index=True)
    n_train = min(_N_TRAIN, len(table) - 2 * N_ASKED)
    schema = infer_schema(table.head(n_train), target=target)
    rows = to_rows(table.iloc[n_train : n_train + 20 * N_ASKED], schema)
    frame = from_rows(rows, schema)
    beyond = {problem.row for problem in validate(frame, schema)}
    asked = [row for number, row in enumerate(rows) if number not in beyond]
    return Task(schema, to_rows(table.head(n_train), schema), asked[:N_ASKED])


def _bits(task: Task, loaded: LoadedModel) -> tuple[dict[str, list[float]], str]:
    """Bits a cell by estimate, one for each of SHOWN, and how many examples there were room for."""
    rng = np.random.default_rng(0)
    pools = [rng.choice(len(task.train), size=SHOWN[-1], replace=False) for _ in task.asked]
    codec, _ = fit_codec("compact", task.schema, loaded.tokenizer, loaded.context_length)
    n_cells = len(codec.columns) * np.log(2.0)
    supports, codes = encode(task.schema, [*task.train, *task.asked])
    train, asked = codes[: len(task.train)], codes[len(task.train) :]
    bits: dict[str, list[float]] = {"base": [], **{name: [] for name in ESTIMATES}}
    room = _room(codec, loaded, task, pools)
    for most in SHOWN:
        shown = [pool[: min(most, room)] for pool in pools]
        scores = _score(codec, loaded, task, shown)
        bits["base"].append(float(-scores.mean() / n_cells))
        for name, estimate in ESTIMATES.items():
            found = [
                estimate(supports, train[seen], asked[[row]], task.target)[0]
                for row, seen in enumerate(shown)
            ]
            bits[name].append(float(-np.mean(found) / n_cells))
    return bits, " ".join(str(min(most, room)) for most in SHOWN)


def _room(codec: Codec, loaded: LoadedModel, task: Task, pools: Sequence[NDArray[np.int64]]) -> int:
    """How many examples fit every context beside the row that is asked for."""
    order = range(len(codec.columns))
    longest = max(
        map(len, loaded.tokenizer.encode_batch([codec.encode_row(row, order) for row in task.train]))
    )
    instruction = write_instruction(codec, task.train[:1], 1, order)
    frame = sum(map(len, loaded.tokenizer.encode_prompt((instruction.opening, instruction.request))))
    return int(min(SHOWN[-1], (loaded.context_length - frame) // longest - 2))


def _score(
    codec: Codec, loaded: LoadedModel, task: Task, shown: Sequence[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Natural logarithms of the test rows' probabilities under the mask, float [n_asked]."""
    sampler = Sampler(loaded.model, Grammar(codec, loaded.tokenizer), context_length=loaded.context_length)
    order = tuple(range(len(codec.columns)))
    prompts = [
        sampler.prompt([task.train[row] for row in seen], order, first_row=number, n_rows=1)
        for number, seen in enumerate(shown)
    ]
    scores = sampler.score(prompts, dict(enumerate(task.asked)))
    return np.array([scores[number].masked for number in range(len(shown))])


def _summary(found: Sequence[dict[str, list[float]]]) -> dict[str, object]:
    """On how many tables bits fall with examples, and on how many the base is below each estimate with all of them."""
    base = [bits["base"] for bits in found]
    below = {f"below_{name}": sum(bits["base"][-1] < bits[name][-1] for bits in found) for name in ESTIMATES}
    return {
        "table": "all",
        "tables": len(found),
        "falls_0_4_16": sum(bits[0] > bits[1] > bits[2] for bits in base),
        "falls_0_4_16_64": sum(bits[0] > bits[1] > bits[2] > bits[3] for bits in base),
        **below,
    } | {
        name: " ".join(f"{value:.3f}" for value in np.mean([bits[name] for bits in found], axis=0))
        for name in found[0]
    }

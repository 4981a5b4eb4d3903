"""Rows a second of our decoder and of its peers: one model, the same contexts, one machine, one run.

`only` names some of the models (nano, llama3), tables (insurance, adult, text), batches (32, 256) and methods (ours,
xgrammar, xgrammar-header, rejection); `rows` is how many rows ours draws at most. A model, table and batch are measured
in one go and kept under decode/ in the output folder: a run that was stopped goes on with those that are not there yet.
"""

from __future__ import annotations

import itertools
import json
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.courses import MODELS, TABLES, course_of, load_base
from benchmarks.decode_picture import draw_picture
from benchmarks.peers import Course, Outcome, generate, xgrammar_processor
from harmonic.decode.chooser import Chooser
from harmonic.decode.head import Head
from harmonic.decode.sampler import Sampler
from harmonic.decode.slot import Usage
from harmonic.errors import HarmonicError
from harmonic.model.quiet import quiet

Figures = dict[str, Any]

BATCHES = {"insurance": (32, 256), "adult": (32,), "text": (32,)}
"""What is measured unless `only` names batches."""
METHODS = ("ours", "xgrammar", "xgrammar-header", "rejection")
ROWS_A_CONTEXT = (4, 1)
"""As many rows a context as our prompts ask for by default, and one, as peers do."""
PEER_CONTEXTS = 64
"""Peers draw so many contexts, at least one whole batch."""
MOST_SECONDS = 60.0
"""Rejection sampling is stopped after this."""


def measure(arguments: Namespace) -> Iterator[Figures]:
    """A row of figures for each model, table, batch, number of rows a context and method; decode.png at the end."""
    names, folder = _names(arguments.only or []), Path(arguments.out) / "decode"
    methods = tuple(names["methods"])
    done: list[Figures] = []
    for model, table in itertools.product(names["models"], names["tables"]):
        for batch in [int(name) for name in names["batches"]] or BATCHES[table]:
            parts = [model, table, str(batch), *(methods if methods != METHODS else ())]
            kept = folder / f"{'-'.join(parts)}.json"
            if kept.exists():
                figures = json.loads(kept.read_text())
                yield from figures
            else:
                figures = []
                for row in _group(arguments, model, table, batch, methods):
                    figures.append(row)
                    yield row
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(figures, indent=2) + "\n")
            done += figures
    draw_picture(done, Path(arguments.out) / "decode.png")


def _names(only: Sequence[str]) -> dict[str, list[str]]:
    """The parts that `only` names: all of a kind of which it names none, and no batches where it names none."""
    batches = [str(batch) for batch in sorted({batch for some in BATCHES.values() for batch in some})]
    kinds = {"models": MODELS, "tables": TABLES, "batches": batches, "methods": METHODS}
    known = [name for kind in kinds.values() for name in kind]
    for name in only:
        if name not in known:
            raise HarmonicError(f"--only {name!r}: there is no such part. Name some of {', '.join(known)}.")
    named = {kind: [name for name in some if name in only] for kind, some in kinds.items()}
    return {kind: some or ([] if kind == "batches" else list(kinds[kind])) for kind, some in named.items()}


def _group(
    arguments: Namespace, name: str, table: str, batch: int, methods: Sequence[str]
) -> Iterator[Figures]:
    """All methods on one model, table and batch, ours first: the others say how many times as fast it was."""
    base = load_base(name, arguments.data_dir.parent / "tokenizers")
    course, compile_seconds = course_of(base, arguments.data_dir, table, max(arguments.rows, batch))
    facts = {"model": name, "parameters": base.n_parameters, "embeddings": base.n_embeddings, "table": table}
    facts |= {"threads": torch.get_num_threads(), "batch": batch}
    _warm_up(course)
    ours: dict[int, Figures] = {}
    for n_rows in ROWS_A_CONTEXT if table != "text" else ROWS_A_CONTEXT[:1]:
        for method in methods:
            # One row a context would only give fewer rows a prompt.
            if method == "rejection" and n_rows == 1:
                continue
            if method == "ours":
                figures = _ours(course, batch, n_rows, arguments.rows)
                figures["compile_seconds"] = compile_seconds
                ours[n_rows] = figures
            else:
                figures = _theirs(course, method, batch, n_rows, arguments.rows)
                # On a machine that others use, processor time says more than the clock on the wall.
                figures["ours_over_this"] = _ratio("rows_per_second", ours.get(n_rows), figures)
                figures["ours_over_this_by_cpu"] = _ratio("rows_per_cpu_second", ours.get(n_rows), figures)
            yield {**facts, "rows_a_context": n_rows, "method": method, **figures}


def _ratio(rate: str, ours: Figures | None, theirs: Figures) -> float | None:
    return ours[rate] / theirs[rate] if ours and theirs[rate] else None


def _warm_up(course: Course) -> None:
    """What only a first call costs is none of a method's speed."""
    _draw(course, slots=2, n_rows=1, n_contexts=2)
    with quiet():
        generate(course, n_contexts=2, n_rows=1, batch=2, most_seconds=1.0)


def _ours(course: Course, slots: int, n_rows: int, most_rows: int) -> Figures:
    n_contexts = max(slots, most_rows // n_rows)
    outcome, usage = _draw(course, slots, n_rows, n_contexts)
    return _figures(outcome) | {
        "occupancy": usage.occupied / (usage.steps * slots),
        "forced_share": usage.forced_tokens / usage.row_tokens,
        "choose_ms": _choose_milliseconds(course, slots),
    }


def _draw(course: Course, slots: int, n_rows: int, n_contexts: int) -> tuple[Outcome, Usage]:
    """What our sampler gives and takes; the program of these columns is chained before."""
    sampler = Sampler(course.model, course.grammar, context_length=course.limit, slots=slots)
    started, cpu_started = time.monotonic(), time.process_time()
    prompts = [
        sampler.prompt(examples, course.order, first_row=number * n_rows, n_rows=n_rows)
        for number, examples in enumerate(course.contexts[:n_contexts])
    ]
    draw = sampler.draw(prompts, seed=0)
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu_started
    n_prompt = sum(map(len, course.prompts(n_contexts, n_rows)))
    rows = len(draw.rows)
    return Outcome(rows, rows, n_prompt, draw.usage.row_tokens, seconds, cpu_seconds), draw.usage


def _theirs(course: Course, method: str, batch: int, n_rows: int, most_rows: int) -> Figures:
    n_contexts = max(batch, min(PEER_CONTEXTS, most_rows // n_rows) // batch * batch)
    compile_seconds, processor = 0.0, None
    if method.startswith("xgrammar"):
        processor, compile_seconds = xgrammar_processor(course, n_rows)
    with quiet():
        outcome = generate(
            course,
            n_contexts=n_contexts,
            n_rows=n_rows,
            batch=batch,
            processor=processor,
            shares_header=method == "xgrammar-header",
            most_seconds=MOST_SECONDS if method == "rejection" else None,
        )
    return _figures(outcome) | {"compile_seconds": compile_seconds}


def _figures(outcome: Outcome) -> Figures:
    return {
        "rows": outcome.rows,
        "valid": outcome.valid / outcome.rows,
        "seconds": outcome.seconds,
        "cpu_seconds": outcome.cpu_seconds,
        "rows_per_second": outcome.valid / outcome.seconds,
        "rows_per_cpu_second": outcome.valid / outcome.cpu_seconds,
        "tokens_per_second": (outcome.prompt_tokens + outcome.row_tokens) / outcome.seconds,
        "prompt_tokens": outcome.prompt_tokens / outcome.rows,
        "row_tokens": outcome.row_tokens / outcome.rows,
    }


def _choose_milliseconds(course: Course, slots: int) -> float:
    """Mask and choice of a step in which all slots are busy, the output layer not counted; mean over some steps."""
    choices: list[tuple[int, float]] = []
    heads: list[tuple[int, float]] = []
    with _timed(Chooser, "choose", choices, len), _timed(Head, "logits", heads, len):
        _draw(course, slots, 1, slots)
    # One context a slot: they all begin at once, and some end before others.
    full = [seconds for n, seconds in choices if n == slots]
    return 1000 * (sum(full) - sum(seconds for n, seconds in heads if n == slots)) / len(full)


@contextmanager
def _timed(
    owner: type, name: str, spent: list[tuple[int, float]], size: Callable[[Any], int]
) -> Iterator[None]:
    """Notes (size of the first argument, seconds) of every call of a method."""
    method = getattr(owner, name)

    def timed(self: object, first: Any, *rest: Any) -> Any:
        started = time.perf_counter()
        result = method(self, first, *rest)
        spent.append((size(first), time.perf_counter() - started))
        return result

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, method)

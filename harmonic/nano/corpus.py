"""The pretraining corpus: endless instructions over generated tables, in the product's own prompts.

What enters is a random stream and a vocabulary; what leaves is `Tokens` written by the same codecs and the same
instruction builder as in fine-tuning and sampling. Each instruction is one new table: a header, some examples, then as
many rows as its length allows, every row with loss, so that the model learns to read rows and continue their law.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from harmonic.nano.edits import draw_edits
from harmonic.nano.prior import sample_causal_table, sample_table
from harmonic.prompt.instructions import Instruction, Tokens, tokenize, write_instruction
from harmonic.prompt.notes import graph_note
from harmonic.prompt.rows import Codec, codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.graph import CausalGraph
from harmonic.table.schema import Row, Schema

POOL = 64
"""Instructions drawn together and sorted by length, so that a batch pads little."""


@dataclass(frozen=True, slots=True)
class CorpusSettings:
    """How long instructions are and how often each form occurs (shares of instructions)."""

    min_tokens: int = 256
    max_tokens: int = 768
    long_tokens: int = 2040
    long_share: float = 0.1
    json_share: float = 0.1
    edits_share: float = 0.03
    """How often a graph is to be mended; the other shares are those of rows to be written."""
    causes_share: float = 0.12
    """How often the causes are named, and parents stand first; the next two are shares of the rest."""
    shuffled_share: float = 0.3
    target_first_share: float = 0.4
    """How often the target stands first; in half of these the others are shuffled, too."""
    related_share: float = 0.25
    examples_share: float = 0.5
    max_examples: int = 64
    max_rows: int = 160
    untitled_share: float = 0.3
    """How often the target line is left out."""


def draw_instruction(rng: np.random.Generator, settings: CorpusSettings, tokenizer: TextTokenizer) -> Tokens:
    """One instruction over a new table, at most long_tokens long."""
    for _ in range(100):
        tokens = _draw(rng, settings, tokenizer)
        if tokens is not None and len(tokens.input_ids) <= settings.long_tokens:
            return tokens
    raise RuntimeError(
        f"A hundred tables did not fit {settings.max_tokens} tokens. Raise max_tokens of the corpus."
    )


def texts(rng: np.random.Generator, settings: CorpusSettings, n_tables: int) -> Iterator[str]:
    """Text for training the vocabulary: both codecs, a few rows each."""
    for number in range(n_tables):
        schema, rows = sample_table(rng, n_rows=4)
        codec = codec_for("json" if number % 2 else "compact", schema)
        instruction = write_instruction(codec, rows[:1], 3, range(len(codec.columns)), rows[1:])
        yield instruction.prompt + "".join(instruction.rows)


class Pools(Dataset[list[list[Tokens]]]):
    """Pool 0, 1, 2, ...: the same instructions each time, in batches in random order, each of which holds at most
    `batch_tokens` tokens when padded to its longest."""

    def __init__(
        self, seed: int, settings: CorpusSettings, tokenizer: TextTokenizer, batch_tokens: int
    ) -> None:
        self.seed = seed
        self.settings = settings
        self.tokenizer = tokenizer
        self.batch_tokens = batch_tokens

    def __getitem__(self, pool: int) -> list[list[Tokens]]:
        rng = np.random.default_rng([self.seed, 21, pool])
        drawn = sorted(
            (draw_instruction(rng, self.settings, self.tokenizer) for _ in range(POOL)), key=_length
        )
        grouped = _group(drawn, self.batch_tokens)
        return [grouped[number] for number in rng.permutation(len(grouped))]


def batches(
    pools: Pools, start: int, n_workers: int = 0, *, rank: int = 0, world: int = 1
) -> Iterator[tuple[int, list[Tokens]]]:
    """Endless (next start, batch) pairs, the same however many workers write them.

    Of `world` processes each reads pools of its own. A run that saved "next start" goes on with the first pool it has
    not begun.
    """
    # Tokens pass as they are: they are no tensors yet.
    own = count(start + rank, world)
    loader = DataLoader(pools, batch_size=None, sampler=own, num_workers=n_workers, collate_fn=_unchanged)
    for turn, grouped in enumerate(loader, start=1):
        for batch in grouped:
            yield start + turn * world, batch


def _unchanged(grouped: list[list[Tokens]]) -> list[list[Tokens]]:
    return grouped


def _length(tokens: Tokens) -> int:
    return len(tokens.input_ids)


def _group(drawn: list[Tokens], batch_tokens: int) -> list[list[Tokens]]:
    groups: list[list[Tokens]] = [[]]
    for tokens in drawn:
        if groups[-1] and (len(groups[-1]) + 1) * _length(tokens) > batch_tokens:
            groups.append([])
        groups[-1].append(tokens)
    return groups


def _draw_limit(rng: np.random.Generator, settings: CorpusSettings) -> int:
    if rng.random() < settings.long_share:
        return settings.long_tokens
    low, high = np.log(settings.min_tokens), np.log(settings.max_tokens)
    return int(np.exp(rng.uniform(low, high)))


def _draw(rng: np.random.Generator, settings: CorpusSettings, tokenizer: TextTokenizer) -> Tokens | None:
    """An instruction over a new table; None where it cannot be written or too few of its rows would fit."""
    codec_name = "json" if rng.random() < settings.json_share else "compact"
    wants_edits = rng.random() < settings.edits_share
    schema, rows, parents = sample_causal_table(rng, n_rows=1 if wants_edits else settings.max_rows)
    graph = CausalGraph(tuple(column.label for column in schema.modelled), parents)
    instruction = (
        draw_edits(rng, graph, codec_name)
        if wants_edits
        else _rows_wanted(rng, settings, tokenizer, codec_for(codec_name, schema), rows, graph)
    )
    return None if instruction is None else tokenize(instruction, tokenizer, "every")


def _rows_wanted(
    rng: np.random.Generator,
    settings: CorpusSettings,
    tokenizer: TextTokenizer,
    codec: Codec,
    rows: list[Row],
    graph: CausalGraph,
) -> Instruction | None:
    """As many rows as fit a length drawn; None if fewer than two do."""
    note, order = "", graph.order
    if rng.random() < settings.causes_share:
        note = graph_note(codec, graph)
    else:
        order = _draw_order(rng, settings, codec)
    if rng.random() < settings.untitled_share:
        codec.schema = Schema(codec.schema.columns, None, codec.schema.title)
    if rng.random() < settings.related_share:
        rows = _related(rng, rows)
    n_rows = _n_fitting(codec, tokenizer, rows, order, _draw_limit(rng, settings), note)
    if n_rows < 2:
        return None
    n_examples = _draw_examples(rng, settings, n_rows - 1)
    return write_instruction(
        codec, rows[:n_examples], n_rows - n_examples, order, rows[n_examples:n_rows], note
    )


def _draw_order(rng: np.random.Generator, settings: CorpusSettings, codec: Codec) -> tuple[int, ...]:
    """The table's own order, a random one, or the target before the others."""
    names, drawn = [column.name for column in codec.columns], rng.random()
    order = np.arange(len(names))
    is_first = codec.schema.target in names and drawn < settings.target_first_share
    if drawn < settings.target_first_share / 2 or drawn >= 1.0 - settings.shuffled_share:
        order = rng.permutation(order)
    if is_first:
        target = names.index(codec.schema.target)
        order = np.concatenate([[target], order[order != target]])
    return tuple(order.tolist())


def _draw_examples(rng: np.random.Generator, settings: CorpusSettings, most: int) -> int:
    """Often none, else few more often than many."""
    if rng.random() >= settings.examples_share:
        return 0
    return min(most, int(np.exp(rng.uniform(0.0, np.log(settings.max_examples + 1)))))


def _n_fitting(
    codec: Codec, tokenizer: TextTokenizer, rows: list[Row], order: Sequence[int], limit: int, note: str
) -> int:
    empty: Instruction = write_instruction(codec, rows[:1], len(rows), order, note=note)
    room = limit - sum(map(len, tokenizer.encode_prompt((empty.opening, empty.request)))) - 1
    lengths = [len(ids) for ids in tokenizer.encode_batch([codec.encode_row(row, order) for row in rows])]
    return int(np.searchsorted(np.cumsum(lengths), room, side="right"))


def _related(rng: np.random.Generator, rows: list[Row]) -> list[Row]:
    """The rows by distance from a random one, blurred: what a context of neighbours looks like."""
    codes = _codes(rows)
    distance = np.abs(codes - codes[rng.integers(len(rows))]).sum(axis=1)
    nearest = np.argsort(distance + rng.normal(0.0, 0.2 * distance.std() + 1e-9, len(rows)))
    part = nearest[: max(8, int(len(rows) * rng.uniform(0.2, 0.6)))]
    return [rows[number] for number in rng.permutation(part)]


def _codes(rows: list[Row]) -> NDArray[np.float64]:
    """Each cell's share of rows that sort before it, [n_rows, n_columns]: one scale for every kind."""
    columns = []
    for cells in zip(*rows, strict=True):
        texts_ = np.array(["" if cell is None else cell for cell in cells])
        try:
            values = np.array([np.nan if cell is None else float(cell) for cell in cells])
        except ValueError:
            values = np.unique(texts_, return_inverse=True)[1].astype(float)
        columns.append(np.argsort(np.argsort(values, kind="stable"), kind="stable") / len(cells))
    return np.stack(columns, axis=1)

"""How much fits: header, examples and rows of a context against the model's context length.

What enters is a codec's name, a context law, a tokenizer and the rows; what leaves is a codec and a law under which no
instruction can be too long, with every reduction in words. Nothing is truncated: the header explains fewer levels,
fewer examples are shown, then fewer rows asked for, and a table of which not even one row fits is refused with the
arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harmonic.errors import HarmonicError
from harmonic.prompt.contexts import ContextLaw
from harmonic.prompt.instructions import write_instruction
from harmonic.prompt.rows import LEGEND_LEVELS, Codec, codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Row, Schema


def fit_codec(
    name: str, schema: Schema, tokenizer: TextTokenizer, limit: int
) -> tuple[Codec, tuple[str, ...]]:
    """The codec of that name whose header leaves at least half of `limit` tokens to rows, if a shorter legend can.

    Returns it and what was reduced, in words. Raises HarmonicError for an unknown codec.
    """
    n_levels = LEGEND_LEVELS
    codec = codec_for(name, schema)
    while n_levels and _header_tokens(codec, tokenizer) > limit // 2:
        n_levels //= 2
        codec = codec_for(name, schema, n_levels)
    if n_levels == LEGEND_LEVELS:
        return codec, ()
    return codec, (
        f"The header explains at most {n_levels} levels a column, not {LEGEND_LEVELS}: {limit} tokens hold no more.",
    )


def _header_tokens(codec: Codec, tokenizer: TextTokenizer) -> int:
    return len(tokenizer.encode(codec.header(range(len(codec.columns)))))


def fit_law(
    law: ContextLaw, codec: Codec, tokenizer: TextTokenizer, rows: Sequence[Row], longest: int, limit: int
) -> tuple[ContextLaw, tuple[str, ...]]:
    """The law reduced to `limit` tokens, and what was reduced, in words.

    longest: the most tokens that a decoded row can take. Raises HarmonicError if no row fits.
    """
    order = range(len(codec.columns))
    lengths = [len(ids) for ids in tokenizer.encode_batch([codec.encode_row(row, order) for row in rows])]
    # An example of the paper's prompt carries a few words of its own; one row in another order a token or two.
    example = max(lengths) + 8
    asked = write_instruction(codec, rows[:1], max(law.rows, 10), order)
    header = sum(map(len, tokenizer.encode_prompt((asked.opening, asked.request)))) + 2
    room = limit - header - 1
    if room < longest:
        worst = lengths.index(max(lengths))
        raise HarmonicError(
            f"Row {worst}: the header takes {header} tokens and a row up to {longest} (this one {max(lengths)}), "
            f"the model's context holds {limit}. Leave out long columns, use the codec 'compact', or a base model "
            "with a longer context."
        )
    examples = min(law.examples, (room - longest) // example)
    n_rows = max(1, min(law.rows, (room - examples * example) // longest))
    notes = []
    if examples < law.examples:
        notes.append(
            f"Contexts show at most {examples} examples, not {law.examples}: {limit} tokens hold no more."
        )
    if n_rows < law.rows:
        notes.append(f"Contexts ask for {n_rows} rows, not {law.rows}: {limit} tokens hold no more.")
    return replace(law, examples=examples, rows=n_rows), tuple(notes)

"""Instructions: the only place where a prompt is written.

What enters is a codec, the examples and the column order of one context; what leaves is an `Instruction` (prompt and
completion rows as text) or its tokens with labels. Training and sampling both come through here, so a prompt in
sampling is, id by id, what a prompt in training was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from harmonic.errors import HarmonicError
from harmonic.prompt.rows import Codec
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Row

Loss = Literal["every", "all", "last"]
"""Which rows carry loss: the examples too, all rows of the completion, or its last one."""
IGNORED = -100
"""The label of a token that carries no loss."""
_COUNTS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One fine-tuning example: a prompt in three parts, and the rows of its completion. Every part ends its line."""

    opening: str
    examples: tuple[str, ...]
    request: str
    rows: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The prompt in pieces that are encoded apart, so that an example's tokens never depend on its company."""
        return (self.opening, *self.examples, self.request)

    @property
    def prompt(self) -> str:
        return "".join(self.parts)


class Tokens(NamedTuple):
    """An instruction as ids; labels repeat the ids that carry loss and are IGNORED elsewhere."""

    input_ids: list[int]
    labels: list[int]


def write_instruction(
    codec: Codec,
    examples: Sequence[Row],
    n_rows: int,
    order: Sequence[int],
    rows: Sequence[Row] = (),
    note: str = "",
) -> Instruction:
    """The instruction that shows `examples` and asks for `n_rows` rows, columns in `order`.

    `rows` are the answer, in training; in sampling there is none yet, and the prompt is the same. `note` stands after
    the columns (prompt.notes); each of its lines ends.
    """
    shown = tuple(codec.encode_row(row, order) for row in examples)
    answer = tuple(codec.encode_row(row, order) for row in rows)
    if codec.name == "paper":
        return _paper_instruction(codec, shown, answer, note)
    target = f"Target: {codec.schema.target}\n" if codec.schema.target is not None else ""
    opening = f"{codec.schema.title}, {len(order)} columns:\n{codec.header(order)}{target}{note}"
    asked = f"Write {n_rows} {'more ' if shown else ''}{'row' if n_rows == 1 else 'rows'}:\n"
    return Instruction(opening + ("Rows:\n" if shown else ""), shown, asked, answer)


def tokenize(instruction: Instruction, tokenizer: TextTokenizer, loss: Loss = "all") -> Tokens:
    """Prompt, rows and end token as ids, loss where `loss` says and on the end token."""
    rows = tokenizer.encode_batch(list(instruction.rows))
    pieces = tokenizer.encode_prompt(instruction.parts)
    n_silent = len(rows) - 1 if loss == "last" else 0
    ids = [*pieces, *rows, [tokenizer.eos_id]]
    silent = [number < len(pieces) + n_silent for number in range(len(ids))]
    if loss == "every":
        silent[1 : len(pieces) - 1] = [False] * len(instruction.examples)
    labels = [[IGNORED] * len(piece) if quiet else piece for piece, quiet in zip(ids, silent, strict=True)]
    return Tokens([i for piece in ids for i in piece], [i for piece in labels for i in piece])


def check_length(length: int, limit: int, subject: str) -> None:
    """Raises HarmonicError if the instruction is longer than the model's context: nothing is ever truncated."""
    if length > limit:
        raise HarmonicError(
            f"{subject}: its instruction has {length} tokens, the model's context {limit}. "
            "Use the codec 'compact', fewer examples or rows in [prompt], or leave out long text columns."
        )


def _paper_instruction(
    codec: Codec, shown: tuple[str, ...], answer: tuple[str, ...], note: str
) -> Instruction:
    """The published instruction in our words: what the data are, the label, JSON rows, the examples, the request."""
    schema = codec.schema
    about = f"Below are {_count(len(shown))} example rows about {schema.title}."
    if schema.target is None:
        columns = f"Each row has {len(codec.columns)} feature columns."
    else:
        task = "regression" if schema.task == "regression" else "classification"
        columns = (
            f"Each row has {len(codec.columns) - 1} feature columns and the label column {str(schema.target)!r} of a "
            f"{task} task."
        )
    request = "Rows are JSON objects. From the examples, write one new row that could stand among them."
    examples = tuple(f"Example {_count(number)}: {row}" for number, row in enumerate(shown, start=1))
    return Instruction(f"{about} {columns} {request}\n{note}", examples, "New row:\n", answer)


def _count(number: int) -> str:
    return _COUNTS[number] if number < len(_COUNTS) else str(number)

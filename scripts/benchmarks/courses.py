"""What the decoder and its peers are measured on: two models, real tables, and the contexts they give.

What enters is the folders of tables and vocabularies; what leaves is a model, and the `Course` that all methods are
given. The contexts are those of sampling as it is by default: four to eight of a row's neighbours.
"""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from benchmarks.peers import Course
from harmonic import read_table
from harmonic.decode.sampler import Grammar
from harmonic.model.load import load_model
from harmonic.prompt.contexts import ContextLaw, Contexts
from harmonic.prompt.rows import codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.cells import to_rows
from harmonic.table.infer import observe
from harmonic.table.neighbors import Neighbors

MODELS = ("nano", "llama3")
"""The embedded base, and a Llama of random weights with the vocabulary of Llama 3."""
TABLES = ("insurance", "adult", "text")
"""7 columns, 15 columns with a long legend, and insurance with a column of free text."""

_FILES = {
    "insurance": ("tables/insurance.csv.gz", "charges"),
    "adult": ("tables/adult.csv.gz", "income"),
    "text": ("tables/insurance.csv.gz", "charges"),
}
_TRAIN_ROWS = 2000
_END = 128001
_LIMIT = 2048


@dataclass(frozen=True)
class Base:
    """A model and its tokenizer. Input and output embeddings are one matrix and counted once."""

    model: PreTrainedModel
    tokenizer: TextTokenizer
    limit: int

    @property
    def n_parameters(self) -> int:
        return sum(weights.numel() for weights in self.model.parameters())

    @property
    def n_embeddings(self) -> int:
        return sum(weights.numel() for weights in self.model.get_input_embeddings().parameters())


def load_base(name: str, tokenizers: Path) -> Base:
    """nano, or llama3: 62 million parameters, 49 of them embeddings; float32 on the CPU."""
    if name == "nano":
        loaded = load_model("nano", device="cpu", dtype="float32")
        return Base(loaded.model, loaded.tokenizer, loaded.context_length)
    backend = Tokenizer.from_str(gzip.decompress((tokenizers / "llama3.json.gz").read_bytes()).decode())
    tokenizer = TextTokenizer(backend, eos_id=_END)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer.token_bytes),
            hidden_size=384,
            intermediate_size=1024,
            num_hidden_layers=8,
            num_attention_heads=6,
            num_key_value_heads=2,
            max_position_embeddings=_LIMIT,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=_END,
            pad_token_id=_END,
        )
    )
    return Base(model.eval(), tokenizer, _LIMIT)


def course_of(base: Base, data_dir: Path, table: str, n_contexts: int) -> tuple[Course, float]:
    """The contexts of a table, and the seconds that compiling its grammar for a tokenizer took."""
    file, target = _FILES[table]
    frame, schema = read_table(data_dir / file, target=target)
    frame = frame.head(_TRAIN_ROWS)
    if table == "text":
        frame = frame.assign(note=frame["sex"].str.cat(frame["region"], " from the "))
        schema = read_table(frame, target=target, overrides={"note": {"kind": "text"}})[1]
    schema = observe(schema, frame)
    codec = codec_for("compact", schema)
    started = time.monotonic()
    grammar = Grammar(codec, base.tokenizer)
    order = tuple(range(len(codec.columns)))
    # All of them are made on first use.
    _ = grammar.longest(order[-1:]), grammar.alphabet(order[-1:]), grammar.program(order)
    compile_seconds = time.monotonic() - started
    rows = to_rows(frame, schema)
    law = ContextLaw("neighbors", examples=8, fewest=4, rows=4, order="fixed")
    near = Neighbors(schema, class_aware=True, seed=0).fit(frame).kneighbors(None, law.pool * law.examples)
    contexts = Contexts(rows, near, law, seed=0, purpose="sample")
    shown = [[rows[row] for row in contexts[number].examples] for number in range(n_contexts)]
    return Course(base.model, grammar, shown, order, base.limit), compile_seconds

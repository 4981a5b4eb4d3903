"""Real vocabularies on a tiny Llama of random weights, no examples in the prompt: is every row valid?"""

from __future__ import annotations

import gzip
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from harmonic import read_table
from harmonic.decode.sampler import Grammar, Sampler
from harmonic.prompt.rows import codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.cells import from_rows, validate
from harmonic.table.infer import observe
from harmonic.table.schema import Schema

TABLES = {
    "german": ("tables/credit_g.csv.gz", "class"),
    "adult": ("tables/adult.csv.gz", "income"),
    "bike_hour": ("tables/bike_hour.csv.gz", "cnt"),
    "sick": ("tables/sick.csv.gz", "Class"),
}
END = {"llama2": 2, "llama3": 128001, "qwen2.5": 151643}


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row of figures for each vocabulary, codec and table."""
    for name in END:
        tokenizer = read_vocabulary(arguments.data_dir, name)
        model = random_llama(len(tokenizer.token_bytes), n_layers=2, n_heads=4)
        for table in arguments.only or TABLES:
            schema = _schema(arguments.data_dir, table)
            for codec in ("compact", "json"):
                figures = _draw(Grammar(codec_for(codec, schema), tokenizer), model, schema, arguments.rows)
                yield {"vocabulary": name, "table": table, "codec": codec, **figures}


def read_vocabulary(data_dir: Path, name: str) -> TextTokenizer:
    """One of END, from `tokenizers` beside the real tables."""
    source = data_dir.parent / "tokenizers" / f"{name}.json.gz"
    backend = Tokenizer.from_str(gzip.decompress(source.read_bytes()).decode())
    return TextTokenizer(backend, eos_id=END[name])


def random_llama(vocab_size: int, *, n_layers: int, n_heads: int) -> LlamaForCausalLM:
    """Random weights, 32 wide; two heads share their keys."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=n_layers,
            num_attention_heads=n_heads,
            num_key_value_heads=n_heads // 2,
            max_position_embeddings=16_384,
        )
    ).eval()


def _draw(grammar: Grammar, model: LlamaForCausalLM, schema: Schema, n_rows: int) -> dict[str, object]:
    started = time.monotonic()
    longest = grammar.longest(range(len(grammar.codec.columns)))
    compiled = time.monotonic() - started
    sampler = Sampler(model, grammar, context_length=16_384, slots=128)
    order = tuple(range(len(schema.modelled)))
    prompts = [sampler.prompt([], order, first_row=first, n_rows=1) for first in range(n_rows)]
    draw = sampler.draw(prompts, seed=0)
    table = from_rows([draw.rows[number] for number in range(n_rows)], schema)
    return {
        "rows": len(table),
        "valid": len(table) - len({problem.row for problem in validate(table, schema)}),
        "rejects": draw.rejects.total(),
        "longest_drawn": draw.longest,
        "longest_compiled": longest,
        "compile_seconds": compiled,
        "seconds": time.monotonic() - started,
    }


def _schema(data_dir: Path, name: str) -> Schema:
    file, target = TABLES[name]
    frame, schema = read_table(data_dir / file, target=target)
    return observe(schema, frame)

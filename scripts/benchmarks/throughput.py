"""Tokens a second of the decoder on one GPU, against its physical limit: Llamas of random weights in their real shapes.

UNVERIFIED: this measurement has run on a CPU alone (`--only tiny`).

`only` names some of the models (1b, 8b, tiny), batches (1, 32, 128, 256, 512) and readers (varlen, varlen-eager, sdpa);
without it all but tiny and varlen-eager are measured. A point (model, batch, reader) draws the same contexts three
times, each time for at most `seconds`: once to warm up and to capture graphs; once as it is; once more the very same
steps, where a plain argmax over the whole vocabulary stands for mask and choice, which is what a constraint costs.
Steps in which prompts were read are counted apart. No table is read, nothing is fetched; the vocabulary is Llama 3's
where `tokenizers` stands beside HARMONIC_DATA, else nano's, as the model's first ids.
"""

from __future__ import annotations

import gc
import itertools
import random
import resource
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from benchmarks.vocabularies import read_vocabulary
from harmonic.decode.cache import Reader
from harmonic.decode.canonical import Canonical
from harmonic.decode.choice import Choice, Pick
from harmonic.decode.chooser import Chooser
from harmonic.decode.engine import Engine, Judge
from harmonic.decode.head import Heads
from harmonic.decode.limits import device_name, limit_of
from harmonic.decode.sampler import Grammar
from harmonic.decode.slot import Job, Slot
from harmonic.decode.varlen import VarlenReader, obstacle
from harmonic.errors import HarmonicError
from harmonic.prompt.instructions import write_instruction
from harmonic.prompt.rows import codec_for
from harmonic.prompt.tokens import TextTokenizer
from harmonic.table.schema import Column, Row, Schema

Figures = dict[str, Any]
Open = Callable[[PreTrainedModel, int], Reader]

_ROPE = {"rope_type": "llama3", "rope_theta": 500000.0, "original_max_position_embeddings": 8192}
_ROPE |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
_COMMON = {"vocab_size": 128256, "num_attention_heads": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-5}
_COMMON |= {"max_position_embeddings": 131072}
SHAPES: dict[str, dict[str, Any]] = {
    # config.json of meta-llama/Llama-3.2-1B and meta-llama/Llama-3.1-8B.
    "1b": _COMMON
    | {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "head_dim": 64}
    | {"tie_word_embeddings": True, "rope_parameters": _ROPE | {"factor": 32.0}},
    "8b": _COMMON
    | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "head_dim": 128}
    | {"tie_word_embeddings": False, "rope_parameters": _ROPE | {"factor": 8.0}},
    "tiny": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    | {"num_key_value_heads": 2},
}
BATCHES = ("1", "32", "128", "256", "512")
READERS: dict[str, Open] = {
    "varlen": lambda model, slots: VarlenReader(model, slots, _LIMIT),
    "varlen-eager": lambda model, slots: VarlenReader(model, slots, _LIMIT, captures=False),
    "sdpa": lambda model, slots: Reader(model, slots, _LIMIT),
}
_UNLESS_NAMED = ("tiny", "varlen-eager")
"""Measured only where they are named."""
_LIMIT = 4096
_SHOWN, _ROWS_A_CONTEXT, _CONTEXTS = 5, 4, 64
_FEWEST_STEPS = 8
"""A point has so many steps, whatever they take."""
_NANO = Path(__file__).resolve().parents[2] / "checkpoints" / "nano" / "tokenizer.json"


def measure(arguments: Namespace) -> Iterator[Figures]:
    """A row of figures for each model, batch and reader, or why there is none."""
    models, batches, readers = _names(arguments.only or [])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and models != ["tiny"]:
        raise HarmonicError(
            "throughput: there is no CUDA device, and the models need one. Name: --only tiny."
        )
    for name in models:
        model, grammar, vocabulary = _base(name, arguments.data_dir, device)
        jobs = _jobs(grammar)
        facts = {"model": name, "parameters": sum(weights.numel() for weights in model.parameters())}
        facts |= {"device": device_name(device), "dtype": str(model.dtype), "torch": torch.__version__}
        for batch, reader in itertools.product(batches, readers):
            point = facts | {"vocabulary": vocabulary, "batch": int(batch), "reader": reader}
            yield point | _attempt(model, grammar, jobs, reader, int(batch), arguments.seconds)
        del model
        _release()


def _names(only: Sequence[str]) -> tuple[list[str], ...]:
    """The models, batches and readers that `only` names; all but some where it names none of a kind."""
    kinds = (tuple(SHAPES), BATCHES, tuple(READERS))
    known = list(itertools.chain(*kinds))
    if strange := [name for name in only if name not in known]:
        raise HarmonicError(f"--only {strange[0]!r}: there is no such part. Name some of {', '.join(known)}.")
    return tuple(
        [name for name in kind if name in only] or [name for name in kind if name not in _UNLESS_NAMED]
        for kind in kinds
    )


def _attempt(
    model: PreTrainedModel, grammar: Grammar, jobs: list[Job], reader: str, batch: int, seconds: float
) -> Figures:
    """A point's figures; or why it has none, for the points after it must not be lost with it."""
    if reader.startswith("varlen") and (reason := obstacle(model)) is not None:
        return {"not_measured": reason}
    try:
        return _point(model, grammar, jobs, READERS[reader], batch, seconds)
    except RuntimeError as error:  # of CUDA: no memory left, or a capture that was refused
        return {"failed": str(error).strip().split("\n")[0]}
    finally:
        _release()


def _point(
    model: PreTrainedModel, grammar: Grammar, jobs: list[Job], opened: Open, batch: int, seconds: float
) -> Figures:
    alphabet = grammar.alphabet(range(len(grammar.codec.columns)))
    heads = Heads(model, alphabet.closed, alphabet.open)
    canonical = Canonical(grammar.tokenizer)
    reader = opened(model, batch)
    chooser = Chooser(heads, reader.device, choice=Choice(), seed=0, canonical=canonical)

    def run(chosen: Any, most_steps: float) -> list[_Step]:
        return _MeteredEngine(reader, chosen, batch, seconds, most_steps).steps_of(jobs)

    warm = run(chooser, float("inf"))
    recorded = _Recorded(chooser)
    steps = run(recorded, len(warm))
    plain = run(_Plain(model, recorded), len(steps))
    return _figures(model, steps, plain, reader.device) | _memory(reader.device)


@dataclass(frozen=True)
class _Step:
    """Seconds since the end of the step before, tokens that were decoded, and those of prompts."""

    seconds: float
    tokens: int
    prompt_tokens: int
    slots: int


def _figures(model: PreTrainedModel, steps: list[_Step], plain: list[_Step], device: torch.device) -> Figures:
    """Of the steps that read no prompt, except where it says `all`."""
    pairs = [(step, other) for step, other in zip(steps, plain, strict=False) if not step.prompt_tokens]
    found = [step for step in steps if not step.prompt_tokens]
    if not pairs:
        return {"not_measured": f"all {len(steps)} steps read prompts: give it more --seconds"}
    seconds, tokens = sum(step.seconds for step in found), sum(step.tokens for step in found)
    figures: Figures = {"steps": len(found), "tokens_per_step": tokens / len(found)}
    figures |= {"occupied": sum(step.slots for step in found) / len(found)}
    figures |= {"step_ms": 1000 * seconds / len(found), "tokens_per_second": tokens / seconds}
    limit = limit_of(model, device_name(device))
    bound = limit.tokens_per_second(tokens / len(found)) if limit else None
    # A step reads its weights for all tokens in flight, forced ones included: that is what it is held to.
    figures |= {"limit": bound, "share_of_limit": tokens / seconds / bound if bound else None}
    with_mask, without = (sum(pair[which].seconds for pair in pairs) for which in (0, 1))
    figures |= {"constraint_cost": with_mask / without - 1, "plain_step_ms": 1000 * without / len(pairs)}
    everything = sum(step.tokens + step.prompt_tokens for step in steps)
    return figures | {"all_tokens_per_second": everything / sum(step.seconds for step in steps)}


class _Enough(Exception):
    """Time is up."""


class _MeteredEngine(Engine):
    """Times its steps, and stops after so many of them or so many seconds."""

    def __init__(self, reader: Reader, chooser: Any, n_slots: int, seconds: float, most_steps: float) -> None:
        super().__init__(reader, chooser, n_slots=n_slots)
        self._seconds, self._most_steps = seconds, most_steps
        self._steps: list[_Step] = []

    def steps_of(self, jobs: list[Job]) -> list[_Step]:
        """The steps that these jobs, over and over, took."""
        endless = (
            Job(job.prompt, job.program, number * _ROWS_A_CONTEXT, _ROWS_A_CONTEXT)
            for number, job in enumerate(itertools.cycle(jobs))
        )
        alike = itertools.takewhile(
            lambda ids: len(set(ids)) == 1, zip(*(job.prompt for job in jobs), strict=False)
        )
        shared = [ids[0] for ids in alike]
        self._began = self._ended = time.perf_counter()
        try:
            for _ in self.run(endless, shared):
                pass
        except _Enough:
            return self._steps
        raise AssertionError("jobs without end have ended")

    def _step(self, busy: dict[int, Slot], judge: Judge) -> None:
        unread = sum(len(slot.chunk) for slot in busy.values())
        prompts = sum(len(slot.chunk) - 1 for slot in busy.values() if slot.is_fresh)
        # It ends with picks on the host, so the device has nothing left to do.
        super()._step(busy, judge)
        now = time.perf_counter()
        self._steps.append(_Step(now - self._ended, unread - prompts, prompts, len(busy)))
        self._ended = now
        is_late = now - self._began > self._seconds and len(self._steps) >= _FEWEST_STEPS
        if is_late or len(self._steps) >= self._most_steps:
            raise _Enough


class _Recorded:
    """A chooser whose picks are kept."""

    def __init__(self, chooser: Chooser) -> None:
        self.seed, self.weighs = chooser.seed, chooser.weighs
        self.picks: list[list[Pick | None]] = []
        self._chooser = chooser

    def choose(self, slots: Sequence[Slot], hidden: Tensor) -> list[Pick | None]:
        self.picks.append(self._chooser.choose(slots, hidden))
        return self.picks[-1]


class _Plain:
    """The same picks again, behind what decoding without a constraint would do in their place."""

    def __init__(self, model: PreTrainedModel, recorded: _Recorded) -> None:
        self.seed, self.weighs = recorded.seed, recorded.weighs
        self._head, self._picks = model.get_output_embeddings(), iter(recorded.picks)

    @torch.inference_mode()
    def choose(self, slots: Sequence[Slot], hidden: Tensor) -> list[Pick | None]:
        self._head(hidden).argmax(-1).tolist()
        return next(self._picks)


def _base(name: str, data_dir: Path, device: torch.device) -> tuple[PreTrainedModel, Grammar, str]:
    """A model of random weights, a grammar under its vocabulary, and whose that is."""
    source = "llama3" if name != "tiny" and (data_dir.parent / "tokenizers").is_dir() else "nano"
    if source == "llama3":
        tokenizer = read_vocabulary(data_dir, source)
    else:
        # Not through load_model: no quantizer and no adapter is needed here.
        tokenizer = TextTokenizer(Tokenizer.from_file(str(_NANO)), eos_id=2, bos_id=1)
    shape: Figures = {"vocab_size": len(tokenizer.token_bytes)} | SHAPES[name]
    ends: Figures = {"bos_token_id": None, "eos_token_id": tokenizer.eos_id, "pad_token_id": None}
    torch.manual_seed(0)
    with device:
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        model = AutoModelForCausalLM.from_config(LlamaConfig(**shape, **ends), dtype=dtype)
    return model.eval(), Grammar(codec_for("compact", _schema()), tokenizer), source


def _jobs(grammar: Grammar) -> list[Job]:
    """Contexts that show random rows of the schema."""
    codec, rng = grammar.codec, random.Random(0)
    order = tuple(range(len(codec.columns)))
    program, jobs = grammar.program(order), []
    for _ in range(_CONTEXTS):
        shown = [_random_row(codec.columns, rng) for _ in range(_SHOWN)]
        pieces = grammar.tokenizer.encode_prompt(
            write_instruction(codec, shown, _ROWS_A_CONTEXT, order).parts
        )
        jobs.append(Job(list(itertools.chain(*pieces)), program, 0, _ROWS_A_CONTEXT))
    return jobs


def _schema() -> Schema:
    """Fifteen columns as a census has them."""
    levels = {
        "workclass": "Private,Self-emp,Federal-gov,Local-gov,State-gov,Without-pay",
        "education": "HS-grad,Some-college,Bachelors,Masters,Assoc-voc,11th,Doctorate,Preschool",
        "marital": "Married-civ-spouse,Never-married,Divorced,Separated,Widowed",
        "occupation": "Prof-specialty,Craft-repair,Exec-managerial,Adm-clerical,Sales,Other-service,Tech-support",
        "relationship": "Husband,Not-in-family,Own-child,Unmarried,Wife",
        "group": "A,B,C,D,E",
        "sex": "Male,Female",
        "country": "United-States,Mexico,Philippines,Germany,Canada,India,El-Salvador,Cuba,England,China",
        "income": "<=50K,>50K",
    }
    bounds = {"age": 90, "weight": 999_999, "years": 16, "gain": 99_999, "loss": 4356, "hours": 99}
    chosen = [Column(n, n, "categorical", "str", levels=tuple(some.split(","))) for n, some in levels.items()]
    counted = [Column(n, n, "integer", "int64", lower="0", upper=str(most)) for n, most in bounds.items()]
    return Schema((*counted, *chosen), target="income")


def _random_row(columns: Sequence[Column], rng: random.Random) -> Row:
    return tuple(
        rng.choice(column.levels) if column.levels else str(rng.randint(0, int(column.upper or 0)))
        for column in columns
    )


def _memory(device: torch.device) -> Figures:
    """The most memory of the point on a GPU, of the process on a CPU; gigabytes."""
    if device.type == "cuda":
        return {"peak_gb": torch.cuda.max_memory_allocated(device) / 1e9}
    return {"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}


def _release() -> None:
    """Frees what a point held, so that the next one has all memory and counts its own."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

"""Harmonic: the whole journey on one page, from a table to as many new rows as asked for.

What enters is a frame and its schema; `fit` builds instructions from each row's neighbours and fine-tunes the base on
them; `sample` draws contexts by the same law and decodes new rows under the schema. Scikit-learn manners: the
constructor only stores, learned state ends in `_`, nothing is loaded before `fit`.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from harmonic.config import BudgetSection, ModelSection, PromptSection, SampleSection
from harmonic.decode.sampler import Grammar
from harmonic.decode.score import Audit, RowScore
from harmonic.defaults import DEFAULT_LORA, default_budget, method_of, train_settings
from harmonic.drawing import Drawer, Drawn, Shown, ShownRows, Synthesizer
from harmonic.errors import HarmonicError
from harmonic.model.finetune import FinetuneResult, finetune
from harmonic.model.load import LoadedModel, load_model
from harmonic.model.merge import merge
from harmonic.model.plan import sample_lengths, training_shape
from harmonic.model.preflight import Preflight, preflight
from harmonic.model.sharing import reader_for
from harmonic.prompt.contexts import ContextLaw, Contexts, Order, last_columns
from harmonic.prompt.crossover import Crossover, stand_often
from harmonic.prompt.fitting import fit_codec, fit_law
from harmonic.prompt.instructions import Tokens
from harmonic.prompt.jitter import Jitter
from harmonic.prompt.learnt import FILE as LEARNT
from harmonic.prompt.learnt import Learnt, read_learnt, write_learnt
from harmonic.prompt.visits import Instructions, writable
from harmonic.prompt.waves import Earlier
from harmonic.table.cells import to_rows
from harmonic.table.infer import infer_schema, observe
from harmonic.table.neighbors import Neighbors
from harmonic.table.policy import Policy
from harmonic.table.schema import Row, Schema

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)

VAL_CONTEXTS = 40
"""Validation reads at most this many contexts: it is done twenty times, and its error is small by then."""


class Harmonic(Synthesizer):
    """Synthetic rows from a local language model, fine-tuned on neighbour instructions (HARMONIC, arXiv 2408.02927).

    base: "nano" (the embedded one), a local model folder, or a hub name. The sections are those of a run file: `prompt`
    (contexts and codec), `budget`, and the vendors' own `train` (trl.SFTConfig), `lora` (peft.LoraConfig),
    `quantization` (BitsAndBytesConfig).
    """

    def __init__(
        self,
        base: str = "nano",
        *,
        model: ModelSection | None = None,
        prompt: PromptSection | None = None,
        budget: BudgetSection | None = None,
        train: Mapping[str, Any] | None = None,
        lora: Mapping[str, Any] | None = None,
        quantization: Mapping[str, Any] | None = None,
        policy: Policy | None = None,
        seed: int = 0,
    ) -> None:
        self.base = base
        self.model = model
        self.prompt = prompt
        self.budget = budget
        self.train = train
        self.lora = lora
        self.quantization = quantization
        self.policy = policy
        self.seed = seed

    def fit(
        self,
        train: DataFrame,
        schema: Schema | None = None,
        *,
        val: DataFrame | None = None,
        out: str | Path | None = None,
        resume: bool = False,
    ) -> Harmonic:
        """Fine-tunes the base on `train` (n >= 2 rows); `val` rows decide when to stop. The adapter lands in `out`.

        Raises HarmonicError for tables that cannot be modelled, before any training.
        """
        self._prepare(train, schema)
        folder = Path(out) if out is not None else self._private_folder()
        loaded = self._load(trainable=True)
        self._build(loaded)
        instructions = self._instructions()
        log.info("%s", self._preflight(loaded, instructions))
        self.result_: FinetuneResult = finetune(
            loaded,
            instructions,
            self._validation(val),
            out=folder,
            method=self._method,
            train_settings=self._train_settings(),
            lora_settings=self._lora_settings(),
            budget=self._budget(),
            seed=self.seed,
            resume=resume,
        )
        learnt = Learnt(self.order_, self.law_.examples, self.law_.rows)
        write_learnt(Path(self.result_.adapter), learnt)
        self.loaded_ = self._load_fitted(Path(self.result_.adapter))
        return self

    @property
    def needs_rows(self) -> bool:
        """Whether sampling, too, needs the training rows: where prompts show them."""
        section = self._prompt_section()
        return section.contexts != "synthetic" and section.examples > 0

    def preflight(self, train: DataFrame, schema: Schema | None = None) -> Preflight:
        """What `fit` would cost: steps, tokens, time and memory. Raises HarmonicError as `fit` would."""
        self._prepare(train, schema)
        loaded = self._load(trainable=True)
        self._build(loaded)
        return self._preflight(loaded, self._instructions())

    def load(self, train: DataFrame | None, schema: Schema, adapter: str | Path) -> Harmonic:
        """A fitted synthesizer from an adapter; `schema` as `observe` left it. `train` is what contexts show.

        Raises HarmonicError if the contexts need training rows and there are none.
        """
        self.schema_ = schema
        self._take(train)
        self.order_ = self._learnt_order(Path(adapter), len(self.rows_))
        self.loaded_ = self._load_fitted(Path(adapter))
        self._build(self.loaded_)
        return self

    def score(self, frame: DataFrame, *, seed: int = 0) -> DataFrame:
        """Natural logarithms of the rows' probabilities, each in a context of its own, under `frame`'s index.

        masked: under the mask, as a draw of the row would report it; full: under the model alone, over its whole
        vocabulary. Raises HarmonicError for a frame without a column of the training table, or with a cell that the
        training rows do not allow.
        """
        scores = self.scores(frame, seed=seed)
        table = {"masked": [score.masked for score in scores], "full": [score.full for score in scores]}
        return pd.DataFrame(table, index=frame.index, dtype="float64")

    def scores(
        self,
        frame: DataFrame,
        *,
        seed: int = 0,
        shown: DataFrame | None = None,
        order: Order | None = None,
    ) -> list[RowScore]:
        """As `score`, with what stands at every choice (decode.score.TokenScore).

        shown: rows of the table that contexts show in place of the training rows; order: of columns, in place of that
        of [prompt].
        """
        rows = None if shown is None or not self.needs_rows else self._to_show(shown)
        return self._drawer.score(frame, seed=seed, shown=rows, order=order)

    def untaught(self) -> Harmonic:
        """The base without what was learnt: the same table, schema and prompts."""
        bare = copy(self)
        bare.loaded_, bare._drawing = self._load(), None
        return bare

    def audit(self, rows: Sequence[Row], *, settings: SampleSection) -> Audit | None:
        return self._drawer.audit(rows, seed=settings.seed, settings=settings)

    def shown_to(self, n_rows: int, *, settings: SampleSection) -> list[ShownRows] | None:
        return self._drawer.shown_to(n_rows, seed=settings.seed, settings=settings)

    def draw(
        self,
        first: int,
        stop: int,
        *,
        seed: int = 0,
        settings: SampleSection | None = None,
        earlier: Earlier | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Drawn:
        settings = settings or SampleSection()
        return self._drawer.draw(
            first, stop, seed=seed, settings=settings, earlier=earlier, progress=progress
        )

    # fit, step by step.

    def _prepare(self, train: DataFrame, schema: Schema | None) -> None:
        if len(train) < 2:
            raise HarmonicError(
                f"The training table has {len(train)} rows, expected at least 2. Give more rows."
            )
        policy = self.policy or Policy()
        self.schema_ = observe(schema or infer_schema(train, policy=policy), train, policy)
        self._take(train)
        self.order_ = self._order_of(len(train))

    def _order_of(self, n_rows: int) -> Order:
        """[prompt] order, or what it means for so many training rows."""
        section = self._prompt_section()
        is_crossed = (
            section.crossover > 0 and n_rows <= section.lasting_crossover and not stand_often(self.rows_)
        )
        is_first = is_crossed and self.schema_.task != "regression"
        return section.order or ("target_first" if is_first else "target_last")

    def _learnt_order(self, adapter: Path, n_rows: int) -> Order:
        """The order in which an adapter learnt columns: as [prompt] says, as it says itself, or by its rows."""
        order, learnt = self._prompt_section().order, read_learnt(adapter)
        if order is None and learnt is not None:
            order = learnt.order
        if order is None and not n_rows:
            raise HarmonicError(
                f"Adapter {str(adapter)!r}: has no {LEARNT}, which says in which order columns were learnt. Set "
                "[prompt] order, or give the training table."
            )
        return order or self._order_of(n_rows)

    def _take(self, train: DataFrame | None) -> None:
        section = self._prompt_section()
        if train is None and self.needs_rows:
            raise HarmonicError(
                f"[prompt] contexts = {section.contexts!r} shows training rows, and none were given. "
                "Give the training table, or use contexts = 'synthetic'."
            )
        self._drawing: Drawer | None = None
        self._shown = Shown([], None) if train is None else self._to_show(train)
        self.rows_ = self._shown.rows

    def _to_show(self, frame: DataFrame) -> Shown:
        section = self._prompt_section()
        neighbors = None
        if section.contexts != "random" and section.examples > 0:
            distance = "published" if section.contexts == "paper" else section.distance
            aware = section.class_aware and distance == "rank"
            neighbors = Neighbors(self.schema_, distance=distance, class_aware=aware, seed=self.seed)
            neighbors.fit(frame)
        return Shown(to_rows(frame, self.schema_), neighbors)

    def _build(self, loaded: LoadedModel) -> None:
        section = self._prompt_section()
        self.codec_, shortened = fit_codec(
            section.codec, self.schema_, loaded.tokenizer, loaded.context_length
        )
        self.grammar_ = Grammar(self.codec_, loaded.tokenizer)
        # The published instruction asks for one row.
        rows = 1 if section.contexts == "paper" else section.rows
        law = ContextLaw(
            section.contexts,
            section.examples,
            # Wave 0 of synthetic contexts has nothing to show.
            0 if section.contexts == "synthetic" else section.fewest,
            rows,
            section.pool,
            self.order_,
            section.related,
        )
        if not self.rows_:
            self.law_ = law
            return
        lasts = last_columns(law.order, len(self.codec_.columns), self._target)
        longest = self.grammar_.longest(lasts)
        self.law_, notes = fit_law(
            law, self.codec_, loaded.tokenizer, self.rows_, longest, loaded.context_length
        )
        for note in (*shortened, *notes):
            log.warning(note)

    def _instructions(self) -> Instructions:
        near, section = self._shown.near(self.law_), self._prompt_section()
        crossover = Crossover(self.rows_, self.schema_, section.crossover, section.lasting_crossover)
        for block in crossover.together:
            names = ", ".join(self.schema_.modelled[column].label for column in block)
            log.info("Crossed as one, since one says what stands in the other: %s.", names)
        return self._visits(
            Contexts(self.rows_, near, self.law_, seed=self.seed, purpose="train", target=self._target),
            Jitter(self.rows_, self.schema_, section.jitter),
            crossover,
        )

    def _visits(
        self, contexts: Contexts, jitter: Jitter | None = None, crossover: Crossover | None = None
    ) -> Instructions:
        loss = self._prompt_section().loss
        return Instructions(
            contexts, self.codec_, self.grammar_.tokenizer, loss, jitter, crossover, self.seed
        )

    def _preflight(self, loaded: LoadedModel, instructions: Instructions) -> Preflight:
        settings = self._train_settings()
        batch = training_shape(settings).batch
        lengths = sample_lengths(instructions, loaded.context_length, reader_for(loaded, settings), batch)
        return preflight(
            loaded,
            lengths.tolist(),
            settings,
            self._budget(),
            method=self._method,
            lora_settings=self._lora_settings(),
            per_pass=instructions.per_pass,
        )

    def _budget(self) -> BudgetSection:
        return self.budget or default_budget(self.train)

    def _train_settings(self) -> Mapping[str, Any]:
        return train_settings(self._method, self.train, len(self.rows_))

    def _lora_settings(self) -> Mapping[str, Any] | None:
        if self._method == "full":
            return None
        return DEFAULT_LORA if self.lora is None else self.lora

    def _validation(self, val: DataFrame | None) -> list[Tokens] | None:
        if val is not None:
            val = val[writable(self.codec_, to_rows(val, self.schema_))]
        if val is None or not len(val):
            return None
        contexts = Contexts(
            self.rows_,
            self._shown.near_of(val, self.law_),
            self.law_,
            seed=self.seed,
            purpose="val",
            asked=to_rows(val, self.schema_),
            target=self._target,
        )
        instructions = self._visits(contexts)
        return [instructions[number] for number in range(min(contexts.per_pass, VAL_CONTEXTS))]

    # what both need.

    @property
    def _drawer(self) -> Drawer:
        if not hasattr(self, "loaded_"):
            raise HarmonicError("Harmonic has learnt no table yet. Call fit(train, schema) first.")
        if self._drawing is None:
            self._drawing = Drawer(
                self.loaded_, self.grammar_, self.schema_, self.law_, self._shown, self._target
            )
        return self._drawing

    def _load_fitted(self, adapter: Path) -> LoadedModel:
        loaded = self._load(adapter=adapter)
        # In whole weights the adapter merges away and rows come faster; in 4 bits it would cost the memory saved.
        is_merged = self.quantization is None and self._method == "lora"
        return merge(loaded).loaded if is_merged else loaded

    def _load(self, adapter: Path | None = None, trainable: bool = False) -> LoadedModel:
        section = self._model_section()
        return load_model(
            section.base,
            revision=section.revision,
            adapter=adapter,
            quantization=self.quantization,
            dtype=section.dtype,
            device=section.device,
            trainable=trainable,
        )

    def _model_section(self) -> ModelSection:
        return self.model or ModelSection(base=self.base)

    @property
    def _method(self) -> Literal["lora", "full"]:
        return method_of(self._model_section(), self.lora, self.quantization)

    def _prompt_section(self) -> PromptSection:
        return self.prompt or PromptSection()

    @property
    def _target(self) -> int | None:
        names = [column.name for column in self.schema_.modelled]
        return names.index(self.schema_.target) if self.schema_.target in names else None

    def _private_folder(self) -> Path:
        # Kept on the object: the folder goes when the synthesizer goes.
        self._temporary = tempfile.TemporaryDirectory(prefix="harmonic-")
        return Path(self._temporary.name)

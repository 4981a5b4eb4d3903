"""MallmGan: rows from very few rows, by a prompt whose causal graph is what gets optimised.

What enters is a frame and its schema; `fit` learns a causal graph, lets the loop improve it, and keeps it; `sample`
asks the generator for new rows under it. No weights change: the same local model writes rows and edits the graph. The
manners are those of `Harmonic`: the constructor only stores, learned state ends in `_`, nothing is loaded before `fit`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonic.candidates import freed
from harmonic.config import MallmSection, ModelSection, SampleSection
from harmonic.decode.sampler import Grammar
from harmonic.decode.score import Audit
from harmonic.drawing import AUDIT_ROWS, Drawer, Drawn, Shown, ShownRows, Synthesizer
from harmonic.errors import HarmonicError
from harmonic.files import read_json, write_json, write_text
from harmonic.mallm.beginnings import begin
from harmonic.mallm.calls import calls_of
from harmonic.mallm.discriminator import Discriminator
from harmonic.mallm.generator import Generator
from harmonic.mallm.journal import announce, forecast, tell
from harmonic.mallm.loop import Agents, Loop
from harmonic.mallm.optimizer import Optimizer
from harmonic.mallm.pool import draw_pool, is_whole, kept_pool
from harmonic.mallm.selection import FEWEST_TRAIN, Growth, Selection, select
from harmonic.mallm.state import State
from harmonic.mallm.trees import STREAM_SELECTION
from harmonic.model.identity import ADAPTER_CONFIG
from harmonic.model.load import LoadedModel, load_model
from harmonic.model.merge import merge
from harmonic.prompt.contexts import ContextLaw
from harmonic.prompt.fitting import fit_codec
from harmonic.prompt.learnt import read_learnt
from harmonic.prompt.waves import Earlier
from harmonic.table.cells import to_rows
from harmonic.table.infer import infer_schema, observe
from harmonic.table.policy import Policy
from harmonic.table.schema import Row, Schema

if TYPE_CHECKING:
    from pandas import DataFrame

LOOP, POOL, GRAPH = "loop.json", "pool.json", "graph.json"
"""What `fit` leaves: every step, rows of the last graph from which the discriminator learns to select, and that graph
by itself, which says that all is done."""
DECODED_BY = ("temperature", "top_k", "top_p", "exact")
"""What of [sample] the loop's rows hang on, beside its rules."""
log = logging.getLogger(__name__)


class MallmGan(Synthesizer):
    """Synthetic rows from a local language model that is shown a causal graph and some rows (arXiv 2406.10521).

    base: "nano" (the embedded one), a local model folder, or a hub name. mallm: the [mallm] section of a run file;
    settings: its [sample], by which the loop's rows are decoded, conditions aside; quantization: keys of
    transformers.BitsAndBytesConfig.
    """

    def __init__(
        self,
        base: str = "nano",
        *,
        model: ModelSection | None = None,
        mallm: MallmSection | None = None,
        codec: str = "compact",
        settings: SampleSection | None = None,
        quantization: Mapping[str, Any] | None = None,
        policy: Policy | None = None,
        seed: int = 0,
    ) -> None:
        self.base = base
        self.model = model
        self.mallm = mallm
        self.codec = codec
        self.settings = settings
        self.quantization = quantization
        self.policy = policy
        self.seed = seed

    _selection: Selection | None = None
    needs_rows = True
    """Sampling, too, needs the training rows: prompts show them."""

    def fit(
        self,
        train: DataFrame,
        schema: Schema | None = None,
        *,
        val: DataFrame | None = None,
        out: str | Path | None = None,
        resume: bool = False,
    ) -> MallmGan:
        """Runs the loop on `train`; its state lands in out/loop.json after each step, a pool of rows in out/pool.json
        where the discriminator selects, and at last the graph in out/graph.json.

        val: not looked at: nothing is trained. Raises HarmonicError for tables that cannot be modelled and for graphs
        that are none, before any row is drawn.
        """
        schema = observe(schema or infer_schema(train, policy=self._policy), train, self._policy)
        self._take(train, schema)
        section = self._section
        discriminator = Discriminator(train, schema, seed=self.seed)
        start, others = begin(section, train, schema, seed=self.seed)
        loop = Loop(self._agents(discriminator), schema, section, len(train), starts=others, seed=self.seed)
        names = [column.label for column in schema.modelled]
        place = Path(out) / LOOP if out is not None else None
        state = begun = self._begun(place, names, resume) or State(start, start)
        announce(state, section)
        for state in loop.run(begun):
            if place is not None:
                write_json(place, {"wish": self._wish(), **state.to_json()})
            tell(state)
        self.state_ = state
        pool = None if out is None else Path(out) / POOL
        self._select(train, pool, kept_pool(pool) if begun.steps else {})
        if out is not None:
            write_text(Path(out) / GRAPH, state.best.graph.to_json())
        return self

    def load(self, train: DataFrame | None, schema: Schema, folder: str | Path) -> MallmGan:
        """A fitted synthesizer from the folder in which `fit` left its graph; `train` is what prompts show.

        Raises HarmonicError without training rows.
        """
        if train is None:
            raise HarmonicError(
                "MallmGan: prompts show training rows, and none were given. Give the training table."
            )
        self._take(train, schema)
        names = [column.label for column in schema.modelled]
        self.state_ = State.from_json(read_json(Path(folder) / LOOP), names)
        kept = kept_pool(Path(folder) / POOL)
        if self._selects(len(train)) and not is_whole(kept, len(train)):
            raise HarmonicError(
                f"{str(folder)!r}: no whole {POOL}, from which the discriminator learns to select rows. Fit again with "
                "--force, or take every draw with --set mallm.selects=false."
            )
        self._select(train, None, kept)
        return self

    def preflight(self, train: DataFrame, schema: Schema | None = None) -> str:
        """What `fit` would cost at most, in words. Raises HarmonicError as `fit` would."""
        schema = observe(schema or infer_schema(train, policy=self._policy), train, self._policy)
        self._take(train, schema)
        _, others = begin(self._section, train, schema, seed=self.seed)
        calls = self._generator(0, SampleSection()).calls
        return forecast(self._section, calls, len(train), len(others))

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
        settings, best = settings or SampleSection(), self._fitted.best
        if stop <= first:
            return Drawn([])
        plan = self._drawer.plan(settings, seed)
        drawn = self._generator(seed, settings, self._selection).draw(
            best, first, min(stop, settings.rows) if plan.n_rows else stop,
            plan=plan, earlier=earlier, progress=progress,
        )  # fmt: skip
        return Drawn([drawn.rows[number] for number in sorted(drawn.rows)], drawn.rejects, drawn.usage)

    def audit(self, rows: Sequence[Row], *, settings: SampleSection) -> Audit | None:
        # A row of a call is scored behind the call's other rows; where draws were selected, behind those taken.
        generator = self._generator(settings.seed, settings)
        stop = min(len(rows), AUDIT_ROWS) // generator.calls.rows * generator.calls.rows
        if not stop or generator.calls.choice == "scarce":
            return None
        plan = self._drawer.plan(settings, settings.seed)
        prompts, _ = generator.prompts(self._fitted.best, plan, 0, stop)
        scores = generator.sampler.score([freed(one) for one in prompts], dict(enumerate(rows[:stop])))
        return Audit.of(list(scores.values())) if scores else None

    def shown_to(self, n_rows: int, *, settings: SampleSection) -> list[ShownRows] | None:
        generator = self._generator(settings.seed, settings)
        if not generator.calls.examples or generator.calls.choice == "scarce":
            return None
        plan, size = self._drawer.plan(settings, settings.seed), generator.calls.rows
        made: list[ShownRows] = []
        for run in plan.runs(0, -(-n_rows // size) * size):
            shown, left_out = generator.shown(run.first_row, run.conditions)
            made += [ShownRows(tuple(shown), tuple(left_out))] * run.n_rows
        return made[:n_rows]

    def _select(self, train: DataFrame, place: Path | None, kept: Mapping[str, Any]) -> None:
        """What takes draws: learnt from the pool that was kept. What is missing from it is drawn now, and then stands
        at `place`; None = nowhere."""
        if not self._selects(len(train)):
            if self._section.selects:
                log.info("Selection: %d training rows are too few; every draw is taken.", len(train))
            return
        pool = [tuple(row) for row in kept.get("rows", ())]
        if not is_whole(kept, len(train)):
            pool = self._pool(len(train), pool, place)
        growth = Growth(kept["rounds"], kept["loss"], tuple(kept["held_out"])) if "rounds" in kept else None
        self._selection = select(
            train, pool, self.schema_, seed=self.seed, growth=growth, balances=self._leaves_classes_free
        )
        if growth is None:
            log.info("%s", self._selection.to_words())
            if place is not None:
                write_json(place, {**self._selection.facts(), "rows": pool})

    def _selects(self, n_train: int) -> bool:
        """Whether the discriminator is to select, and has rows enough to learn from."""
        return self._section.selects and n_train >= FEWEST_TRAIN

    def _pool(self, n_train: int, before: Sequence[Row], place: Path | None) -> list[Row]:
        """Rows of the last graph, of a seed that no table has, behind those that stand at `place`."""
        seed = int(np.random.default_rng([self.seed, STREAM_SELECTION]).integers(2**31))
        generator = self._generator(seed, self.settings or SampleSection())
        return draw_pool(generator, self._fitted.best, n_train, before=before, place=place)

    def _take(self, train: DataFrame, schema: Schema) -> None:
        """Rows, codec, grammar and models: all but the graph."""
        self._selection = None
        self.schema_ = schema
        self.rows_: list[Row] = to_rows(train, schema)
        self._base = self._load(None)
        folder = None if self._section.adapter is None else _adapter_folder(self._section.adapter)
        self.loaded_ = self._base if folder is None else self._load(folder)
        self._learnt = None if folder is None else read_learnt(folder)
        codec, notes = fit_codec(self.codec, schema, self._base.tokenizer, self._base.context_length)
        grammar = Grammar(codec, self._base.tokenizer)
        names = [column.name for column in schema.modelled]
        target = names.index(schema.target) if schema.target in names else None
        self._drawing = Drawer(self.loaded_, grammar, schema, ContextLaw(), Shown(self.rows_, None), target)
        first = self._generator(self.seed, SampleSection())
        law = ContextLaw(examples=first.calls.examples, fewest=first.calls.examples, rows=first.calls.rows)
        self.law_ = law if self._learnt is None else replace(law, order=self._learnt.order)
        self._drawing = Drawer(self.loaded_, grammar, schema, self.law_, Shown(self.rows_, None), target)
        self._leaves_classes_free = first.leaves_classes_free
        for note in (*notes, *first.notes):
            log.warning(note)

    def _agents(self, discriminator: Discriminator) -> Agents:
        section, settings = self._section, self.settings or SampleSection()
        optimizer = None
        if section.edits == "model":
            optimizer = Optimizer(
                self._base,
                [column.label for column in self.schema_.modelled],
                seed=self.seed,
                temperature=section.edit_temperature,
                guidance=section.guidance,
            )
        return Agents(lambda seed: self._generator(seed, settings), discriminator, optimizer)

    def _generator(self, seed: int, settings: SampleSection, selection: Selection | None = None) -> Generator:
        section = self._section
        calls = calls_of(section, self._learnt, self.schema_)
        sampler = self._drawer.sampler(settings)
        weigh = None if selection is None or selection.takes_all else selection
        return Generator(
            sampler,
            self.rows_,
            self.schema_,
            calls,
            seed=seed,
            guidance=section.guidance,
            weigh=weigh,
            weigh_given=weigh and weigh.of_given_class,
        )

    def _begun(self, place: Path | None, names: Sequence[str], resume: bool) -> State | None:
        """The state that stands there. Raises HarmonicError if nothing is resumed, or if it is another loop's."""
        if place is None or not place.exists():
            return None
        if not resume:
            raise HarmonicError(
                f"{str(place.parent)!r}: a loop was begun here. Go on with --resume, or start over with --force."
            )
        found = read_json(place)
        wish = self._wish()
        if changed := [key for key in wish if found["wish"].get(key) != wish[key]]:
            raise HarmonicError(
                f"{str(place.parent)!r}: this loop was begun with {changed[0]} = {found['wish'].get(changed[0])!r}, "
                f"not {wish[changed[0]]!r}. Resume it with the same settings, or start over with --force."
            )
        return State.from_json(found, names)

    def _wish(self) -> dict[str, Any]:
        """What must not change between start and end, as plain data."""
        settings = asdict(self.settings or SampleSection())
        return {
            "base": self._base.digest,
            "codec": self.codec,
            "mallm": asdict(self._section),
            "seed": self.seed,
            **{name: settings[name] for name in DECODED_BY},
            "rules": list(settings["rules"]),
        }

    def _load(self, adapter: Path | None) -> LoadedModel:
        section = self.model or ModelSection(base=self.base)
        loaded = load_model(
            section.base,
            revision=section.revision,
            adapter=adapter,
            quantization=self.quantization,
            dtype=section.dtype,
            device=section.device,
        )
        # In whole weights a LoRA adapter merges away and rows come faster; in 4 bits it would cost the memory saved.
        is_merged = adapter is not None and self.quantization is None and (adapter / ADAPTER_CONFIG).is_file()
        return merge(loaded).loaded if is_merged else loaded

    @property
    def _drawer(self) -> Drawer:
        if not hasattr(self, "_drawing"):
            raise HarmonicError("MallmGan has learnt no table yet. Call fit(train, schema) first.")
        return self._drawing

    @property
    def _fitted(self) -> State:
        if not hasattr(self, "state_"):
            raise HarmonicError("MallmGan has learnt no table yet. Call fit(train, schema) first.")
        return self.state_

    @property
    def _policy(self) -> Policy:
        return self.policy or Policy()

    @property
    def _section(self) -> MallmSection:
        return self.mallm or MallmSection()


def _adapter_folder(place: str) -> Path:
    """The adapter of a run folder, or the folder itself. Raises HarmonicError where nothing stands."""
    folder = Path(place)
    found = folder / "adapter" if (folder / "adapter").is_dir() else folder
    if not found.is_dir():
        raise HarmonicError(
            f"[mallm] adapter {place!r}: no such folder. Name the run folder of a finished training, such as "
            "checkpoints/harmonic/adult/s0."
        )
    return found

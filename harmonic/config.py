"""Run files: the sections of a run as frozen dataclasses, from strict, sparse TOML and to JSON and back.

What enters is a TOML file and overrides `section.key=value`; what leaves is a `Config` in which every
setting stands, those left out too, so that `to_json` is the whole truth about a run. Our own sections are
checked key by key. Vendor sections ([train], [lora], [quantization]) are carried verbatim, and the vendor's
own class checks their keys where it is loaded. An absent optional section is a feature that is off. Stdlib
only: a wrong run file is refused at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Annotated, Any, Literal

from harmonic.errors import HarmonicError
from harmonic.settings import (
    Bounds,
    Count,
    Natural,
    NonNegative,
    Positive,
    Share,
    apply_overrides,
    parse_section,
    read_toml,
)

Vendor = Mapping[str, Any]
"""A section that is passed on as it stands."""


@dataclass(frozen=True)
class RunSection:
    """[run]: which method, under which seed, into which folder."""

    method: Literal["harmonic", "mallm"] = "harmonic"
    name: str | None = None
    """What the run folder is called; None = the name of the table's file."""
    seed: Natural = 0
    out: str | None = None
    """The run folder itself; None = checkpoints/<method>/<name>/s<seed>."""


@dataclass(frozen=True)
class TableSection:
    """[table]: where the rows are, and what is declared about them. What stands here wins over the data sheet."""

    source: str
    """A CSV or Parquet file, a data sheet (configs/tables/*.toml), or "sklearn:diabetes"."""
    target: str | None = None
    title: str | None = None
    """What the rows are, in a few words, for the prompt: "bank customers"."""
    holdout: str | None = None
    """A file of further rows for the report alone: then every row of `source` trains or validates."""
    data_dir: str | None = None
    """Where the local files of data sheets are."""
    missing: tuple[str, ...] | None = None
    """Texts that mean missing in every column."""
    separator: str | None = None
    encoding: str | None = None
    header: bool | None = None
    """Whether the first line of a CSV holds names. These three: None = looked up in the file."""
    names: tuple[str, ...] | None = None
    """Column names, where the file has none or others are wanted."""
    columns: Mapping[str, Any] | None = None
    """What is declared about a column, by its name: [table.columns.age] kind = "integer"."""


@dataclass(frozen=True)
class SplitSection:
    """[split]: shares of the rows that are kept from training."""

    test: Share = 0.2
    val: Share | None = None
    """None = a tenth of the training rows, where these are enough to spare it."""
    train_rows: Count | None = None
    """Use no more than so many of the training rows, drawn at random, classes in their shares; None = all."""


@dataclass(frozen=True)
class PolicySection:
    """[policy]: when a column counts as what, and what happens to values that could identify people.

    The same names and defaults as table.policy.Policy, which explains them.
    """

    rare_levels: Literal["keep", "group"] = "keep"
    min_level_count: Count = 5
    extremes: Literal["keep", "round"] = "keep"
    max_levels: Count = 1000
    few_values: Count = 12
    target_values: Count = 20
    digits: Count = 8


@dataclass(frozen=True)
class ModelSection:
    """[model]: the base and how it is trained. `revision` pins a hub name."""

    base: str = "nano"
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """None = by device."""
    device: str | None = None
    method: Literal["lora", "full"] | None = None
    """None = all weights of nano, LoRA for any other base and where [lora] or [quantization] stands."""


@dataclass(frozen=True)
class PromptSection:
    """[prompt]: what a context shows and asks for (prompt.contexts.ContextLaw), and how rows are written.

    By default nothing is shown and one row is asked for: no real row is in a prompt of sampling. HARMONIC's own
    contexts: contexts = "neighbors", examples = 8, fewest = 4, rows = 4.
    """

    codec: Literal["compact", "json", "paper"] = "compact"
    order: (
        Literal["fixed", "target_first", "target_last", "target_either", "shuffled", "target_then_shuffled"]
        | None
    ) = None
    """None = the target first where it has classes and all rows stay crossed (lasting_crossover), since what a class
    means for each column is then all they hold; else last, where the others predict it."""
    contexts: Literal["neighbors", "random", "synthetic", "paper"] = "random"
    examples: Natural = 0
    """At most this many rows are shown (k)."""
    fewest: Natural = 0
    """At least this many."""
    rows: Count = 1
    """Rows asked for in one context."""
    related: bool = True
    """Whether the rows of one context are neighbours of each other."""
    pool: Count = 1
    """Examples come from the nearest pool * k rows."""
    loss: Literal["every", "all", "last"] = "every"
    jitter: NonNegative = 5.0
    """In training, numbers move by up to so many ranks of their column on each visit, but for values that occur more
    often than those around them explain; 0 = never."""
    crossover: Natural = 3000
    """In training, over so many visits of rows, cells of a row come less and less often from other rows of its class;
    0 = never."""
    lasting_crossover: NonNegative = 250.0
    """Tables of at most so many rows stay crossed to the end, larger ones the less the larger they are (a quarter of
    the rows of one twice as large); 0 = none, as where crossover = 0 or rows stand six times each on average. So few
    rows cannot be learnt by heart."""
    distance: Literal["rank", "published"] = "rank"
    class_aware: bool = True
    """Whether neighbours share the class or, where the target is a quantity, are near in it too."""

    def __post_init__(self) -> None:
        groups_rows = self.contexts == "neighbors" and self.rows > 1
        if self.contexts != "random" and not self.examples and not groups_rows:
            raise HarmonicError(
                f"[prompt]: contexts = {self.contexts!r} and examples = 0, so that nothing is shown. Set examples "
                "(HARMONIC's own: examples = 8, fewest = 4, rows = 4), or contexts = 'random'."
            )


@dataclass(frozen=True)
class BudgetSection:
    """[budget]: when training ends. One of steps, tokens, minutes, or none of them: then [train] decides."""

    steps: Count | None = None
    tokens: Count | None = None
    minutes: Positive | None = None
    most_tokens: Count | None = None
    """Beside any of these: no more tokens than this."""
    patience: Count | None = None
    """Validations without a better loss before training ends; None = no early stopping."""

    def __post_init__(self) -> None:
        given = [name for name in ("steps", "tokens", "minutes") if getattr(self, name) is not None]
        if len(given) > 1:
            raise HarmonicError(
                f"[budget]: {' and '.join(given)} are set, expected one of them at most. "
                f"Leave one out (on the command line: --set budget.{given[-1]}=)."
            )


@dataclass(frozen=True)
class MallmSection:
    """[mallm]: the adversarial loop of MALLM-GAN, where [run] method = "mallm". No weights change."""

    adapter: str | None = None
    """A HARMONIC run folder, or an adapter folder, of the same training rows, with which rows are written; edits are
    always the base's. None = the base writes rows, too."""
    examples: Natural | None = None
    """Training rows that a call of the generator shows; None = 25, with an adapter as many as it has learnt from."""
    rows: Count | None = None
    """Rows that a call asks for; None = 5, with an adapter as many as it has learnt to write."""
    choice: Literal["uniform", "balanced", "scarce", "by_class"] = "by_class"
    """Which rows are shown: any, the classes of the target in their shares, those of which too few were written, or in
    each call rows of one class, which its rows then have, too (but where nothing is shown and an adapter has learnt to
    write the class behind other columns: it is left to the model)."""
    graph: str = "best"
    """Where the graph begins: "learnt" (hill-climbing by BIC), "classes" (the target is the cause of all columns),
    "none" (no edges), "best" (whichever of these three wins the first contest), "random" (as many edges as were
    learnt), or a JSON file: {"column": ["parent", ...]}."""
    says_graph: bool = True
    """Whether the prompt names the causes; columns are written parents first either way, but for an adapter that has
    learnt one order."""
    edits: Literal["model", "random", "none"] = "model"
    """Who edits the graph. "random" is the control; with "none" it stays as it began."""
    steps: Natural = 4
    """Contests between the best graph so far and its edits."""
    proposals: Count = 6
    """Edited graphs a step."""
    edit_temperature: Positive = 1.0
    guidance: Natural = 0
    """Bytes of guidance that the model may write beside its edits; 0 = none: nano has never seen any."""
    judged_rows: Count | None = None
    """Rows on which the last candidates of a step are judged; None = as many as train, 50 to 200."""
    margin: NonNegative = 1.0
    """By how many standard errors an edited graph must be ahead to be taken."""
    selects: bool = True
    """Whether, after the loop, draws are taken by how real the discriminator finds them, as far as training rows that
    it has not seen say that this helps; not on fewer than 30 rows. It learns from rows that no budget of the loop
    counts: see --dry-run."""
    calls: Count | None = None
    """The loop ends after the step in which so many calls of the model were made, ..."""
    tokens: Count | None = None
    """... so many tokens read and written, ..."""
    minutes: Positive | None = None
    """... or so much time spent, before a kill too."""


@dataclass(frozen=True)
class SampleSection:
    """[sample]: how many rows, and how they are decoded, whatever a model's own generation settings say."""

    rows: Natural = 1000
    seed: Natural = 0
    slots: Count | None = None
    """Contexts decoded at once; None = by device."""
    temperature: Positive = 1.0
    top_k: Natural = 0
    """0 = all tokens."""
    top_p: Annotated[float, Bounds(above=0, most=1)] = 1.0
    exact: bool = False
    """Whether rows follow the model's own distribution over valid rows, at the price of rejections."""
    max_attempts: Count = 400
    """Draws of one row that is rejected, before sampling gives up."""
    given: Mapping[str, Any] | None = None
    """Cells that every row holds, by column: given = { sex = 2 }."""
    where: tuple[str, ...] = ()
    """What one column must satisfy in every row: "age >= 65", "job in ('a', 'b')", "income is not missing"."""
    quotas: Mapping[str, Any] | None = None
    """By column, how many rows, or which share of them, hold a value: [sample.quotas.class] yes = 0.5, no = 0.5."""
    rules: tuple[str, ...] = ()
    """What must hold between columns in every row: "start <= end". Of one column, `where` is cheaper."""


@dataclass(frozen=True)
class EvaluateSection:
    """[evaluate]: the report."""

    suite: Literal["quick", "full", "paper"] = "quick"
    seed: Natural = 0
    model_rows: Natural = 300
    """The fine-tuned model itself is asked for so many training rows and as many held-out ones; 0 = not at all."""


@dataclass(frozen=True)
class LleSection:
    """[lle]: the report's downstream language model (LLE); absent = not measured. The base is the run's."""

    codec: Literal["compact", "json"] = "compact"
    test_rows: Count = 1000
    """At most so many held-out rows are asked about."""
    train: Vendor | None = None
    """To trl.SFTConfig, over the defaults."""
    lora: Vendor | None = None
    """Verbatim to peft.LoraConfig."""


@dataclass(frozen=True)
class AuditSection:
    """[audit]: a run of its own that measures leakage by coin flips; its rows are for nobody's use."""

    records: Count = 100
    """So many records are audited: of each a coin says whether it is trained on."""
    kind: Literal["rows", "outliers", "mixed"] = "rows"
    """Training rows at random, those that lie farthest from all others, or made ones whose cells come from as many
    rows: what no law explains can only be remembered."""


@dataclass(frozen=True)
class Config:
    """A whole run. Optional sections are None where the feature is off."""

    table: TableSection
    run: RunSection = RunSection()
    split: SplitSection = SplitSection()
    policy: PolicySection = PolicySection()
    model: ModelSection = ModelSection()
    prompt: PromptSection = PromptSection()
    mallm: MallmSection | None = None
    """None = its defaults, where [run] method = "mallm"."""
    budget: BudgetSection | None = None
    train: Vendor | None = None
    """To trl.SFTConfig, under its names; what is left out has our defaults (train_settings), then trl's."""
    lora: Vendor | None = None
    """Verbatim to peft.LoraConfig."""
    quantization: Vendor | None = None
    """Verbatim to transformers.BitsAndBytesConfig."""
    sample: SampleSection | None = None
    evaluate: EvaluateSection | None = None
    lle: LleSection | None = None
    audit: AuditSection | None = None
    """None = an ordinary run."""

    def __post_init__(self) -> None:
        for section in ("lora", "quantization"):
            if self.model.method == "full" and getattr(self, section) is not None:
                raise HarmonicError(
                    f"[model] method is 'full', and [{section}] is set: all weights train, undiminished. "
                    f'Leave out [{section}], or set method = "lora".'
                )

        if self.run.method == "mallm":
            self._check_mallm()
        elif self.mallm is not None:
            raise HarmonicError(
                "[mallm] is set, and [run] method is 'harmonic', which has no loop. Set method = \"mallm\", or leave "
                "[mallm] out."
            )

    def _check_mallm(self) -> None:
        """What belongs to fine-tuning says nothing in a run that changes no weights."""
        if self.prompt.codec == "paper":
            raise HarmonicError(
                "[prompt] codec is 'paper', which is HARMONIC's and asks for one row; [run] method is 'mallm', which "
                "asks for several. Use 'compact' or 'json'."
            )
        unused = [name for name in ("train", "lora", "budget") if getattr(self, name) is not None]
        unused += ["prompt"] if self.prompt != PromptSection(codec=self.prompt.codec) else []
        if unused:
            raise HarmonicError(
                f"[{unused[0]}] is set, and [run] method is 'mallm', which changes no weights"
                f"{' and takes of [prompt] only codec' if unused[0] == 'prompt' else ''}. Leave it out; how rows are "
                "asked for and when the loop ends stand in [mallm]."
            )

    @property
    def folder(self) -> str:
        """The run folder: [run] out, or checkpoints/<method>/<name>/s<seed>."""
        name = self.run.name or table_name(self.table.source)
        return self.run.out or f"checkpoints/{self.run.method}/{name}/s{self.run.seed}"

    def to_json(self) -> dict[str, Any]:
        """Every setting as plain JSON data; `config_from_dict` gives an equal config back."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return data


def table_name(source: str) -> str:
    """What a table is called after its source: "data/insurance.csv.gz" -> "insurance"."""
    return PurePath(source.removeprefix("sklearn:")).name.partition(".")[0] or "table"


def load_config(path: str | PurePath, overrides: Sequence[str] = ()) -> Config:
    """The run file at `path` under `overrides` ("a.b=value"). Raises HarmonicError on anything unknown."""
    return config_from_dict(apply_overrides(read_toml(path), overrides), where=f"Run file {str(path)!r}")


def config_from_dict(data: Mapping[str, Any], where: str = "Run file") -> Config:
    """The config of parsed TOML or of `Config.to_json`. Raises HarmonicError, beginning with `where`."""
    try:
        return parse_section(Config, data, "the run file")
    except HarmonicError as error:
        raise HarmonicError(f"{where}: {error}") from None

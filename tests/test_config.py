from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.config import (
    Config,
    PolicySection,
    PromptSection,
    TableSection,
    config_from_dict,
    load_config,
    table_name,
)
from harmonic.defaults import DEFAULT_RATES, default_budget, train_settings
from harmonic.errors import HarmonicError
from harmonic.settings import Count, apply_overrides, parse_section, read_toml

TABLE: dict[str, Any] = {"table": {"source": "rows.csv"}}
CONFIGS = Path(__file__).parents[1] / "configs"
RUN_FILES = sorted((CONFIGS / "runs" / "harmonic").glob("*.toml"))
ACCELERATE_FILES = sorted((CONFIGS / "accelerate").glob("*.yaml"))


@dataclass(frozen=True)
class Inner:
    layers: Count = 2


@dataclass(frozen=True)
class Recipe:
    widths: tuple[int, ...]
    inner: Inner = Inner()


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_sparse_file_becomes_a_whole_config(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, '[table]\nsource = "rows.csv"\ntarget = "y"\n[sample]\nrows = 7\n'))
    assert (config.table.target, config.sample.rows if config.sample else 0) == ("y", 7)
    assert config.model.base == "nano"
    assert (config.prompt.contexts, config.prompt.examples, config.prompt.rows) == ("random", 0, 1)


def test_an_absent_section_is_off() -> None:
    config = config_from_dict(TABLE)
    assert (config.budget, config.train, config.lora, config.quantization) == (None, None, None, None)
    assert (config.sample, config.evaluate) == (None, None)
    assert config_from_dict({**TABLE, "sample": {}}).sample is not None


def test_vendor_sections_are_carried_verbatim() -> None:
    train = {
        "learning_rate": 2e-4,
        "lr_scheduler_kwargs": {"min_lr": 0.1},
        "report_to": ["none"],
        "bf16": False,
    }
    assert config_from_dict({**TABLE, "train": train}).train == train


def test_what_a_train_section_leaves_out_has_the_defaults() -> None:
    given = train_settings("full", {"num_train_epochs": 70}, 1000)
    assert given == {**train_settings("full", None, 1000), "num_train_epochs": 70}
    assert given["learning_rate"] == DEFAULT_RATES["full"]
    assert default_budget({"learning_rate": 1e-3}) == default_budget(None)
    assert default_budget({"max_steps": 5}).most_tokens is None, "who says how long is believed"


@given(st.integers(1, 5000))
def test_few_rows_are_visited_more_often_each(n_rows: int) -> None:
    passes = train_settings("full", None, n_rows)["num_train_epochs"]
    assert passes >= 30
    assert passes * n_rows >= 6000
    assert train_settings("full", None, n_rows + 1)["num_train_epochs"] <= passes


def test_an_optimizer_of_ones_own_does_not_get_the_learning_rate_of_muon() -> None:
    assert "learning_rate" not in train_settings("full", {"optim": "adamw_torch"}, 100)
    assert train_settings("lora", {"optim": "adamw_torch"}, 100)["learning_rate"] == DEFAULT_RATES["lora"]


@pytest.mark.parametrize(
    ("section", "key", "nearest"),
    [("prompt", "exmaples", "examples"), ("sample", "temprature", "temperature"), ("model", "x", None)],
)
def test_an_unknown_key_names_the_nearest_one(section: str, key: str, nearest: str | None) -> None:
    with pytest.raises(
        HarmonicError, match=rf"key '{key}' is not known in \[{section}\]. Did you mean '"
    ) as raised:
        config_from_dict({**TABLE, section: {key: 1}})
    assert nearest is None or f"Did you mean '{nearest}'?" in str(raised.value)


def test_an_unknown_section_names_the_nearest_one() -> None:
    with pytest.raises(HarmonicError, match="'promt' is not known in the run file. Did you mean 'prompt'"):
        config_from_dict({**TABLE, "promt": {}})


@pytest.mark.parametrize(
    ("section", "key", "value", "expectation"),
    [
        ("prompt", "examples", "five", "not an integer of at least 0"),
        ("prompt", "examples", True, "not an integer of at least 0"),
        ("prompt", "examples", 2.0, "not an integer of at least 0"),
        ("prompt", "examples", -1, "value -1 is not an integer of at least 0"),
        ("prompt", "rows", 0, "not an integer of at least 1"),
        ("prompt", "codec", "xml", 'not one of "compact", "json", "paper"'),
        ("prompt", "related", "yes", "not true or false"),
        ("sample", "temperature", 0, "not a number above 0"),
        ("sample", "top_p", 1.5, "not a number above 0 and at most 1"),
        ("sample", "temperature", float("nan"), "not a number above 0"),
        ("split", "test", float("inf"), "not a number of at least 0 and at most 1"),
        ("table", "source", 3, "value 3 is not text"),
        ("run", "seed", "0", "an integer"),
    ],
)
def test_a_wrong_value_says_what_was_expected(section: str, key: str, value: Any, expectation: str) -> None:
    with pytest.raises(HarmonicError) as raised:
        config_from_dict({**TABLE, section: {**TABLE.get(section, {}), key: value}})
    message = str(raised.value)
    assert expectation in message
    assert f"key '{key}' in [{section}]" in message
    assert f"Write, for instance, {key} = " in message


def test_a_section_that_is_no_section_is_refused() -> None:
    with pytest.raises(HarmonicError, match="key 'prompt' in the run file: value 3 is not a section"):
        config_from_dict({**TABLE, "prompt": 3})


def test_a_vendor_value_that_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, '[table]\nsource = "a"\n[train]\nday = 2020-01-01\n')
    with pytest.raises(
        HarmonicError, match="key 'train' in the run file: .* is not a section of plain values"
    ):
        load_config(path)


def test_a_missing_table_is_an_error() -> None:
    with pytest.raises(HarmonicError, match="key 'table' is missing in the run file"):
        config_from_dict({})
    with pytest.raises(HarmonicError, match=r"key 'source' is missing in \[table\]. Add source = "):
        config_from_dict({"table": {"target": "y"}})


def test_a_budget_has_one_measure() -> None:
    assert config_from_dict({**TABLE, "budget": {"minutes": 2}}).budget is not None
    assert config_from_dict({**TABLE, "budget": {"patience": 3}}).budget is not None
    with pytest.raises(HarmonicError, match="steps and minutes are set, expected one of them at most"):
        config_from_dict({**TABLE, "budget": {"steps": 5, "minutes": 2}})


def test_full_training_takes_no_lora_section() -> None:
    with pytest.raises(HarmonicError, match=r"method is 'full', and \[lora\] is set"):
        config_from_dict({**TABLE, "model": {"method": "full"}, "lora": {"r": 8}})


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("run.seed=7", 7),
        ("run.seed = 7", 7),
        ("run.out=some/where-1", "some/where-1"),
        ('run.out="7"', "7"),
        ("run.out=x = 1\ny = 2", "x = 1\ny = 2"),
        ("train.betas=[0.9, 0.95]", [0.9, 0.95]),
        ("lora={r = 4}", {"r": 4}),
    ],
)
def test_an_override_is_a_toml_value_or_bare_text(override: str, expected: Any) -> None:
    changed = apply_overrides({}, [override])
    value: Any = changed
    for name in override.partition("=")[0].strip().split("."):
        value = value[name]
    assert value == expected


def test_an_empty_override_takes_the_key_out() -> None:
    data = {"budget": {"minutes": 2.0}, "sample": {"rows": 3}}
    assert apply_overrides(data, ["budget.minutes=", "budget.steps=9", "sample="]) == {"budget": {"steps": 9}}
    assert data == {"budget": {"minutes": 2.0}, "sample": {"rows": 3}}


@pytest.mark.parametrize("override", ["run.seed", "=3", "run..seed=1", ".=1"])
def test_a_broken_override_is_refused(override: str) -> None:
    with pytest.raises(HarmonicError, match="expected key=value"):
        apply_overrides({}, [override])


def test_an_override_below_a_value_is_refused() -> None:
    with pytest.raises(HarmonicError, match=r"'run\.seed' holds a value, not a section"):
        apply_overrides({"run": {"seed": 1}}, ["run.seed.x=1"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[table\n", "is not TOML"),
        (b"[table]\nsource = rows.csv\n", "text values stand in double quotes"),
        (b'[table]\nsource = "caf\xe9"\n', "is not UTF-8"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "run.toml").write_bytes(content)
    with pytest.raises(HarmonicError, match=message) as raised:
        read_toml(tmp_path / "run.toml")
    assert "run.toml" in str(raised.value)


def test_a_missing_file_and_a_folder_are_clear_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(HarmonicError, match="cannot be read .* Check the path"):
            load_config(path)


def test_a_byte_order_mark_and_carriage_returns_are_read(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(b'\xef\xbb\xbf[table]\r\nsource = "rows.csv"\r\n')
    assert load_config(tmp_path / "run.toml").table.source == "rows.csv"


@pytest.mark.parametrize("path", RUN_FILES, ids=lambda path: path.stem)
def test_every_shipped_run_file_is_sound_and_survives_json(path: Path) -> None:
    config = load_config(path)
    assert config_from_dict(json.loads(json.dumps(config.to_json()))) == config


def test_the_run_files_of_this_method_are_there() -> None:
    names = {path.stem for path in RUN_FILES}
    ours = {"quickstart", "adult", "german", "diabetes", "buddy", "insurance"}
    assert ours | {f"paper_{name}" for name in ("german", "adult", "diabetes", "buddy")} <= names


@pytest.mark.parametrize("path", RUN_FILES, ids=lambda path: path.stem)
def test_every_shipped_run_file_names_a_table_that_is_there(path: Path, repository: Path) -> None:
    source = load_config(path).table.source
    assert source == "sklearn:diabetes" or (repository / source).is_file()


def test_run_folders_of_shipped_run_files_differ() -> None:
    folders = [load_config(path).folder for path in RUN_FILES]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("path", RUN_FILES, ids=lambda path: path.stem)
def test_vendor_sections_of_shipped_run_files_hold_the_vendors_names(path: Path) -> None:
    import inspect

    from peft import LoraConfig
    from trl import SFTConfig

    config = load_config(path)
    for section, vendor in ((config.train, SFTConfig), (config.lora, LoraConfig)):
        assert set(section or ()) <= set(inspect.signature(vendor).parameters)


@pytest.mark.parametrize("path", ACCELERATE_FILES, ids=lambda path: path.stem)
def test_every_accelerate_file_is_one_that_accelerate_reads(path: Path) -> None:
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

    assert isinstance(load_config_from_file(str(path)), ClusterConfig)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "run": st.fixed_dictionaries({}, optional={"seed": st.integers(0, 2**40), "out": st.text()}),
            "split": st.fixed_dictionaries({}, optional={"test": st.floats(0, 1) | st.integers(0, 1)}),
            "prompt": st.fixed_dictionaries(
                {}, optional={"examples": st.integers(0, 9), "codec": st.sampled_from(["json", "paper"])}
            ),
            "budget": st.fixed_dictionaries({}, optional={"tokens": st.integers(1, 10**9)}),
            "train": st.dictionaries(st.text(), st.none() | st.booleans() | st.lists(st.text()), max_size=3),
            "sample": st.fixed_dictionaries({}, optional={"temperature": st.floats(0.1, 3)}),
        },
    )
)
def test_any_config_survives_json(data: dict[str, Any]) -> None:
    config = config_from_dict({**TABLE, **data})
    assert config_from_dict(json.loads(json.dumps(config.to_json()))) == config


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=20))
def test_any_override_text_is_read_or_refused_by_the_type(text: str) -> None:
    value = apply_overrides({}, [f"run.out={text}"]).get("run", {}).get("out")
    assert value is None or value == text or value == tomllib.loads(f"value = {text}")["value"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("data/insurance.csv.gz", "insurance"),
        ("configs/tables/adult.toml", "adult"),
        ("sklearn:diabetes", "diabetes"),
        ("rows", "rows"),
        (".csv", "table"),
    ],
)
def test_a_table_is_called_after_its_source(source: str, name: str) -> None:
    assert table_name(source) == name


def test_the_run_folder_follows_method_name_and_seed() -> None:
    data = {"table": {"source": "a/rows.csv"}, "run": {"seed": 3}}
    assert config_from_dict(data).folder == "checkpoints/harmonic/rows/s3"
    assert config_from_dict({**data, "run": {"out": "elsewhere"}}).folder == "elsewhere"


def test_any_dataclass_can_be_a_section() -> None:
    assert parse_section(Recipe, {"widths": [1, 2]}, "the recipe") == Recipe((1, 2))
    with pytest.raises(HarmonicError, match=r"key 'layer' is not known in \[inner\]. Did you mean 'layers'"):
        parse_section(Recipe, {"widths": [], "inner": {"layer": 1}}, "the recipe")
    with pytest.raises(
        HarmonicError, match="key 'widths' in the recipe: value .* is not a list, each an integer"
    ):
        parse_section(Recipe, {"widths": [1, "2"]}, "the recipe")


def test_a_wrong_run_file_fails_in_under_a_second_without_torch(tmp_path: Path, repository: Path) -> None:
    path = _write(tmp_path, '[table]\nsource = "rows.csv"\n[prompt]\nexmaples = 3\n')
    code = (
        "import sys\nfrom harmonic.config import load_config\n"
        f"try:\n    load_config({str(path)!r})\nexcept ValueError as error:\n    print(error)\n"
        "print(sorted({'torch', 'pandas', 'numpy', 'transformers'} & set(sys.modules)))"
    )
    seconds = []
    for _ in range(3):  # the best of three: other work on the machine is not the subject
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository)
        seconds.append(time.perf_counter() - start)
        assert "Did you mean 'examples'?" in done.stdout
        assert done.stdout.endswith("[]\n")
    assert min(seconds) < 1


def test_the_prompt_section_agrees_with_the_law_of_contexts() -> None:
    from harmonic.prompt.contexts import ContextLaw

    ours = {field.name: field.default for field in fields(PromptSection)}
    for field in fields(ContextLaw):
        # The order goes by how many rows there are.
        assert ours[field.name] == (None if field.name == "order" else field.default)
    hints, law = get_type_hints(PromptSection), get_type_hints(ContextLaw)
    assert hints["contexts"] == law["contexts"]
    assert hints["order"] == law["order"] | None


def test_the_prompt_section_agrees_with_codecs_and_losses() -> None:
    from typing import get_args

    from harmonic.prompt.instructions import Loss
    from harmonic.prompt.rows import CodecName

    hints = get_type_hints(PromptSection)
    assert set(get_args(hints["codec"])) == set(get_args(CodecName))
    assert set(get_args(hints["loss"])) == set(get_args(Loss))


def test_the_policy_section_agrees_with_the_policy_of_schemas() -> None:
    from harmonic.table.policy import Policy

    ours = {field.name: field.default for field in fields(PolicySection)}
    assert ours == {field.name: field.default for field in fields(Policy)}


def test_the_table_section_agrees_with_the_reader_of_tables() -> None:
    import inspect

    from harmonic.table.sources import read_table

    ours = {field.name for field in fields(TableSection)} - {"holdout"}
    renamed = {"columns": "overrides"}  # what data sheets call columns
    assert {renamed.get(name, name) for name in ours} <= set(inspect.signature(read_table).parameters)


def test_a_config_is_frozen() -> None:
    config = config_from_dict(TABLE)
    assert isinstance(config, Config)
    with pytest.raises(AttributeError):
        config.run.seed = 1  # type: ignore[misc]


def test_conditions_of_a_sample_stand_in_the_run_file_and_survive_json(tmp_path: Path) -> None:
    text = (
        '[table]\nsource = "rows.csv"\n[sample]\nwhere = ["age >= 65"]\nrules = ["start <= end"]\n'
        "given = { sex = 2 }\n[sample.quotas.class]\nyes = 0.5\nno = 0.5\n"
    )
    config = load_config(_write(tmp_path, text))
    assert config.sample is not None
    assert (config.sample.where, config.sample.rules) == (("age >= 65",), ("start <= end",))
    assert (config.sample.given, config.sample.quotas) == ({"sex": 2}, {"class": {"yes": 0.5, "no": 0.5}})
    assert config_from_dict(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize("contexts", ["neighbors", "synthetic", "paper"])
def test_contexts_that_would_show_nothing_are_refused(contexts: str) -> None:
    with pytest.raises(HarmonicError, match="nothing is shown"):
        config_from_dict({**TABLE, "prompt": {"contexts": contexts}})
    assert config_from_dict({**TABLE, "prompt": {"contexts": contexts, "examples": 3}}).prompt.examples == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"mallm": {}}, r"\[mallm\] is set, and \[run\] method is 'harmonic'"),
        (
            {"run": {"method": "mallm"}, "train": {"num_train_epochs": 1}},
            r"\[train\] is set.*changes no weights",
        ),
        ({"run": {"method": "mallm"}, "budget": {"steps": 1}}, r"\[budget\] is set"),
        ({"run": {"method": "mallm"}, "prompt": {"jitter": 2}}, r"\[prompt\] is set.*only codec"),
        ({"run": {"method": "mallm"}, "prompt": {"codec": "paper"}}, "asks for one row"),
        ({"run": {"method": "mallm"}, "mallm": {"exampels": 3}}, "Did you mean 'examples'"),
    ],
)
def test_what_belongs_to_the_other_method_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(HarmonicError, match=message):
        config_from_dict({"table": {"source": "a.csv"}, **data})


def test_a_mallm_run_has_a_folder_of_its_own_and_comes_back_from_json() -> None:
    config = config_from_dict(
        {
            "table": {"source": "a.csv"},
            "run": {"method": "mallm"},
            "mallm": {"steps": 2},
            "prompt": {"codec": "json"},
        }
    )
    assert config.folder == "checkpoints/mallm/a/s0"
    assert config_from_dict(config.to_json()) == config

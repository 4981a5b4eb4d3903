"""What the scripts share: arguments, logging, processes, and errors as one line instead of a trace."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harmonic.config import Config, config_from_dict, load_config
from harmonic.errors import HarmonicError
from harmonic.run import Run

if TYPE_CHECKING:
    from harmonic.journey import Processes


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the arguments of every script that begins a run or goes on with one."""
    made = folder_parser(description, "run file (TOML) or run folder")
    made.add_argument("--set", action="append", default=[], metavar="a.b=v", help="override a setting")
    made.add_argument("--out", help="the run folder")
    made.add_argument("--resume", action="store_true", help="go on with an existing run of the same settings")
    made.add_argument("--force", action="store_true", help="start an existing run over")
    made.add_argument("--dry-run", action="store_true", help="check the settings and show them, do nothing")
    return made


def folder_parser(description: str | None, takes: str = "run folder") -> argparse.ArgumentParser:
    """A parser for scripts that work on what stands: they go on by themselves, and change no setting."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("config", nargs="?", help=takes)
    return made


def trained(folder: str | None) -> Config:
    """The config of the run folder that a script was given. Raises HarmonicError if it is none."""
    if folder is None:
        raise HarmonicError("No run folder was given. Name one, such as checkpoints/harmonic/quickstart/s0.")
    return config_from_dict(Run.join(folder).config)


def config_of(arguments: argparse.Namespace, *extra: str) -> Config:
    """The config that a run file, or a run folder, and the overrides mean. Raises HarmonicError."""
    overrides = [*extra, *arguments.set]
    if arguments.out:
        overrides.append(f'run.out="{arguments.out}"')
    if arguments.config is None:
        raise HarmonicError("No run file was given. Name one, such as configs/runs/harmonic/quickstart.toml.")
    if Path(arguments.config).is_dir():
        if arguments.set:
            raise HarmonicError(
                f"--set {arguments.set[0]!r}: a run folder keeps the settings it was made with. "
                "Give the run file and another --out to change them."
            )
        return trained(arguments.config)
    return load_config(arguments.config, overrides)


def dry_run(config: Config) -> None:
    """Shows the resolved settings and what training would cost."""
    say(json.dumps(config.to_json(), indent=2))
    from harmonic import journey

    say(journey.preflight(config))


def processes() -> Processes:
    """This process among those of its job, by the variables that torchrun and accelerate launch set."""
    from harmonic.journey import Processes

    return Processes(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def open_run(
    folder: str | Path, config: Config | None, *, resume: bool = False, force: bool = False
) -> Iterator[Run]:
    """The run folder: the first process opens and holds it, the others join once it stands."""
    me = processes()
    data = None if config is None else config.to_json()
    if me.count == 1:
        with Run.open(folder, data, resume=resume, force=force) as run:
            yield run
        return
    from accelerate import PartialState

    state = PartialState(cpu=not _has_gpu())
    if me.is_main:
        with Run.open(folder, data, resume=resume, force=force) as run:
            state.wait_for_everyone()
            yield run
            state.wait_for_everyone()
    else:
        state.wait_for_everyone()
        yield Run.join(folder)
        state.wait_for_everyone()


def main(work: Callable[[], None]) -> None:
    """Runs a script's work: logging to stderr, a bad input as one line with exit status 2, Ctrl-C as 130."""
    is_main = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("harmonic").setLevel(logging.INFO if is_main else logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        work()
    except HarmonicError as error:
        if is_main:
            print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(
            "\nStopped. Whatever was finished stands in the run folder: go on with --resume.", file=sys.stderr
        )
        sys.exit(130)


def say(text: str) -> None:
    """Prints a result, from the first process only."""
    if os.environ.get("RANK", "0") == "0":
        print(text, flush=True)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()

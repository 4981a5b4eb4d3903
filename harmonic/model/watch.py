"""The eye on a training: progress, the clock, early stopping, a clean end on Ctrl-C.

What enters is the trainer's events; what leaves is a bar with rate and ETA on a terminal, one log line a minute
elsewhere, and the word that ends training early: time is up, validation has not improved, or somebody asked. The time
spent is kept in the trainer's own state, so a resumed training has no more of it than an uninterrupted one.
"""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_callback import ExportableState

from harmonic.errors import HarmonicError
from harmonic.files import remove

Stop = Literal["steps", "minutes", "patience", "interrupt"]
WHOLE = "WHOLE"
"""The file that stands in a checkpoint when all others do."""
_ENDINGS: tuple[Stop, ...] = ("steps", "minutes", "interrupt")
_LINE_SECONDS = 60.0
_log = logging.getLogger(__name__)


class Watch(TrainerCallback, ExportableState):
    """Watches one training of `steps` steps; `tokens` [steps] are those seen after each."""

    def __init__(
        self,
        tokens: NDArray[np.int64],
        *,
        minutes: float | None = None,
        patience: int | None = None,
        is_validated: bool = False,
        is_shown: bool = True,
    ) -> None:
        self.tokens = tokens
        self.minutes = minutes
        self.patience = patience
        self.is_validated = is_validated
        self.is_shown = is_shown
        self.stop: Stop = "steps"
        self.is_interrupted = False
        self._before = 0.0
        self._started = time.monotonic()
        self._last_line = self._started
        self._first_step = 0
        self._bar: tqdm[Any] | None = None
        self._loss = math.nan

    @property
    def seconds(self) -> float:
        """Time spent on training, also before a kill."""
        return self._before + time.monotonic() - self._started

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": {"seconds": self.seconds, "stop": self.stop}}

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        states: Any = state.stateful_callbacks
        saved = states.get(type(self).__name__, {}).get("attributes", {})
        self._before = saved.get("seconds", 0.0) if state.global_step else 0.0
        self._started = self._last_line = time.monotonic()
        self._first_step = state.global_step
        self.is_shown = self.is_shown and state.is_world_process_zero
        if self.is_shown and sys.stderr.isatty():
            self._bar = tqdm(total=len(self.tokens), initial=state.global_step, unit="step", desc="Training")

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._show(state.global_step)
        is_late = self.minutes is not None and self.seconds > 60 * self.minutes
        reason = _agreed(_ENDINGS.index("interrupt") if self.is_interrupted else int(is_late), args)
        if reason:
            control.should_log = control.should_save = True
            control.should_evaluate = self.is_validated and not self.is_interrupted
            self._end(control, _ENDINGS[reason])
        elif state.global_step == len(self.tokens):
            control.should_evaluate = self.is_validated

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs is None or "loss" not in logs:
            return
        self._loss = logs["loss"]
        if not math.isfinite(self._loss):
            raise HarmonicError(
                f"Training: the loss at step {state.global_step} is {self._loss}, expected a finite number. "
                "Lower learning_rate in [train], or train in bf16 or float32 instead of fp16."
            )

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # Counted anew from the log each time, so that a resumed training counts the same.
        losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
        if self.patience is not None and len(losses) - 1 - int(np.argmin(losses)) >= self.patience:
            self._end(control, "patience")

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # sharded checkpoints are whole when every process has written its part
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def _end(self, control: TrainerControl, reason: Stop) -> None:
        self.stop = reason
        control.should_training_stop = True

    def _show(self, step: int) -> None:
        if self._bar is not None:
            if math.isfinite(self._loss):
                self._bar.set_postfix_str(f"loss {self._loss:.3f}", refresh=False)
            self._bar.update(step - self._bar.n)
        elif self.is_shown and time.monotonic() - self._last_line >= _LINE_SECONDS:
            self._last_line = time.monotonic()
            _log.info("%s", self.line(step))

    def line(self, step: int) -> str:
        """Where training stands, in a line."""
        spent = max(time.monotonic() - self._started, 1e-9)
        before = int(self.tokens[self._first_step - 1]) if self._first_step else 0
        rate = (int(self.tokens[step - 1]) - before) / spent
        left = (int(self.tokens[-1]) - int(self.tokens[step - 1])) / max(rate, 1e-9)
        if self.minutes is not None:
            left = min(left, max(0.0, 60 * self.minutes - self.seconds))
        return (
            f"Training: step {step:,} of {len(self.tokens):,}, loss {self._loss:.3f}, {rate:,.0f} tokens/s, "
            f"{left / 60:.1f} minutes left"
        )


def _agreed(reason: int, args: Any) -> int:
    """The gravest reason to end of all processes: they must leave the same step, else the others wait for ever."""
    if not torch.distributed.is_initialized() or args.world_size == 1:
        return reason
    flag = torch.tensor(reason, device=args.device)
    torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
    return int(flag)


@contextmanager
def interruptible(watch: Watch) -> Iterator[None]:
    """Ctrl-C inside asks `watch` to save and end after the step under way; a second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if watch.is_interrupted:
            raise KeyboardInterrupt
        watch.is_interrupted = True
        _log.warning("Ctrl-C: saving after the step under way. Once more ends at once, without saving.")

    former = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def last_checkpoint(folder: Path) -> str | None:
    """The last checkpoint that is whole; what a kill left half-written is taken away."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / WHOLE).is_file():
            whole.append(path)
        elif PartialState().is_main_process:
            remove(path)
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers import TrainerControl, TrainerState

from harmonic.errors import HarmonicError
from harmonic.model import watch as room
from harmonic.model.watch import Watch, interruptible

TOKENS = np.arange(1, 11) * 100


def begun(**options: Any) -> tuple[Watch, TrainerState]:
    watch, state = Watch(TOKENS, **options), TrainerState()
    watch.on_train_begin(None, state, TrainerControl())
    return watch, state


def test_a_line_a_minute_says_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch, state = begun()
    now = watch._started
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: now))
    with caplog.at_level(logging.INFO, "harmonic"):
        for step in range(1, 6):
            now += 30.0
            state.global_step = step
            watch.on_step_end(None, state, TrainerControl())
    assert len(caplog.messages) == 2
    assert "step 4 of 10" in caplog.messages[1] and "3 tokens/s, 3.0 minutes left" in caplog.messages[1]


def test_a_loss_that_is_no_number_ends_training_with_a_remedy() -> None:
    watch, state = begun()
    with pytest.raises(HarmonicError, match=r"nan.*Lower learning_rate"):
        watch.on_log(None, state, TrainerControl(), logs={"loss": float("nan")})


def test_the_time_before_a_kill_counts() -> None:
    _, state = begun()
    state.global_step = 3
    state.stateful_callbacks = {"Watch": {"args": {}, "attributes": {"seconds": 120.0, "stop": "steps"}}}  # type: ignore[assignment]
    watch = Watch(TOKENS, minutes=1.0)
    watch.on_train_begin(None, state, TrainerControl())
    control = TrainerControl()
    watch.on_step_end(None, state, control)
    assert watch.seconds >= 120 and control.should_training_stop and watch.stop == "minutes"


def test_a_second_ctrl_c_ends_at_once() -> None:
    import os
    import signal

    watch, _ = begun(is_shown=False)
    with interruptible(watch):
        os.kill(os.getpid(), signal.SIGINT)
        assert watch.is_interrupted
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)

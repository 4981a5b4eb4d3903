from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harmonic.errors import HarmonicError
from harmonic.model.load import load_model, load_tokenizer

SIMPLE = "{{ bos_token }}{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}<|model|>"
DATED = "Today: {{ date_string if date_string else strftime_now('%d %b %Y') }}\n" + SIMPLE


@pytest.fixture
def with_template(save_base: Callable[..., Path]) -> Callable[[str], Path]:
    def make(template: str) -> Path:
        folder = save_base()
        (folder / "chat_template.jinja").write_text(template)
        return folder

    return make


def test_the_template_stands_around_the_prompt(with_template: Callable[[str], Path]) -> None:
    tokenizer = load_model(str(with_template(SIMPLE))).tokenizer
    assert tokenizer.chat == ("<|begin|><|user|>", "<|model|>")


def test_a_template_with_a_date_is_the_same_every_day(with_template: Callable[[str], Path]) -> None:
    tokenizer = load_tokenizer(with_template(DATED), "dated")
    assert tokenizer.chat is not None and tokenizer.chat[0].startswith("Today: 26 Jul 2024\n")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('only with a system message') }}", "only with a system message"),
        ("{% if %}", "does not render"),
        ("{{ messages[0]['content'] * 2 }}", "2 times, expected once"),
        ("hello", "0 times, expected once"),
    ],
)
def test_a_template_that_fails_or_changes_the_message_is_refused(
    with_template: Callable[[str], Path], template: str, message: str
) -> None:
    with pytest.raises(HarmonicError, match=message):
        load_tokenizer(with_template(template), "chatty")

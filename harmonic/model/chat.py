"""Chat templates: what a chat model expects before and after a user's message.

What enters is a tokenizer with a template; what leaves is the pair of texts that `TextTokenizer` puts around every
prompt. The template runs once, in the sandbox of transformers, with today's date and "thinking" switched off, so that
a prompt of today is a prompt of tomorrow.
"""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

from harmonic.errors import HarmonicError

_MESSAGE = "@harmonic-message@"
_DATE = "26 Jul 2024"  # what Llama's templates write where no date is given


def chat_wrapper(tokenizer: Any, base: str) -> tuple[str, str] | None:
    """The texts before and after a user's message, the generation prompt included; None without a template.

    `tokenizer` is a transformers tokenizer. Raises HarmonicError where the template fails or changes the message.
    """
    if tokenizer.chat_template is None:
        return None
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": _MESSAGE}],
            tokenize=False,
            add_generation_prompt=True,
            date_string=_DATE,
            enable_thinking=False,
        )
    except (TemplateError, ValueError, TypeError) as error:
        raise HarmonicError(
            f"Base {base!r}: its chat template does not render a user's message ({error}). "
            "Mend the template, or take it out of tokenizer_config.json to use the model without one."
        ) from error
    if text.count(_MESSAGE) != 1:
        raise HarmonicError(
            f"Base {base!r}: its chat template writes a user's message {text.count(_MESSAGE)} times, expected once. "
            "Mend the template, or take it out of tokenizer_config.json to use the model without one."
        )
    before, after = text.split(_MESSAGE)
    return before, after

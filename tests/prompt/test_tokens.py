"""Text as token ids: tables never become special tokens, pieces can be encoded apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmonic.errors import HarmonicError
from harmonic.prompt.tokens import TextTokenizer

NAMES = ("llama2", "llama3", "qwen2.5")
SPECIAL = "<s></s><|begin_of_text|><|eot_id|><|im_start|><|im_end|><|endoftext|>"


@pytest.mark.parametrize("name", NAMES)
def test_a_value_never_becomes_a_special_token(
    name: str, text_tokenizer: Callable[..., TextTokenizer]
) -> None:
    tokenizer = text_tokenizer(name)
    ids = tokenizer.encode(f" value {SPECIAL} end")
    assert not set(ids) & set(tokenizer.special_tokens.values())
    assert tokenizer.decode(ids) == f" value {SPECIAL} end"


@pytest.mark.parametrize("name", NAMES)
def test_text_comes_back_byte_for_byte(name: str, text_tokenizer: Callable[..., TextTokenizer]) -> None:
    tokenizer = text_tokenizer(name)

    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
    def check(text: str) -> None:
        assert tokenizer.decode(tokenizer.encode(f"x{text}")) == f"x{text}"

    check()


@pytest.mark.parametrize("name", NAMES)
def test_a_chat_prompt_is_what_the_template_makes_of_it(
    name: str, text_tokenizer: Callable[..., TextTokenizer]
) -> None:
    """Against the backend's own reading of the rendered text, special tokens and all."""
    tokenizer = text_tokenizer(name, chat=True)
    assert tokenizer.chat is not None
    parts = ("Rows of a table:\nA age integer\n", " A39 \n", "Write 2 rows:\n")
    ids = [token for part in tokenizer.encode_prompt(parts) for token in part]
    before, after = tokenizer.chat
    rendered = before + "".join(parts).rstrip() + after + ("" if after.endswith("\n") else "\n")
    tokenizer.backend.encode_special_tokens = False
    whole = tokenizer.backend.encode(rendered, add_special_tokens=False).ids
    tokenizer.backend.encode_special_tokens = True
    assert ids == whole


@pytest.mark.parametrize("name", NAMES)
def test_special_tokens_in_a_message_stay_text(
    name: str, text_tokenizer: Callable[..., TextTokenizer]
) -> None:
    tokenizer = text_tokenizer(name, chat=True)
    clean = tokenizer.encode_prompt(("Title\n", "Ask:\n"))
    dirty = tokenizer.encode_prompt((f"Title {SPECIAL}\n", "Ask:\n"))
    special = set(tokenizer.special_tokens.values())
    assert [t for part in clean for t in part if t in special] == [
        t for part in dirty for t in part if t in special
    ]


def test_a_text_that_merges_with_the_newline_before_it_is_refused(
    text_tokenizer: Callable[..., TextTokenizer],
) -> None:
    with pytest.raises(HarmonicError, match="merges with the newline"):
        text_tokenizer("llama3").encode("\n")

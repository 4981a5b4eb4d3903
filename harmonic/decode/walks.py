"""Walks: the canonical ids of a language too large to enumerate, such as numbers and dates.

What enters is a byte automaton and a tokenizer's joints; what leaves is a node of a token automaton. A state is a place
in the byte automaton together with the class of the last token, for that alone decides which tokens may come next:
tokens are of one class if every token may follow either or neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harmonic.decode.automaton import NONE, TokenNodes
from harmonic.decode.bytes_automaton import ByteAutomaton
from harmonic.decode.joints import Joints
from harmonic.decode.vocabulary import Vocabulary
from harmonic.prompt.tokens import TextTokenizer

_STREAM = 32
_LOOSE = 2
"""So many ids before a word stay open where digits may merge with what stands before them."""
_SAMPLE = 24
"""Of more tokens of one shape so many are tried after the head."""


def add_walks(
    nodes: TokenNodes,
    automaton: ByteAutomaton,
    tokenizer: TextTokenizer,
    vocabulary: Vocabulary,
    joints: Joints,
) -> int:
    """The node of all canonical ids of an automaton's words; NONE if no word can be said in tokens."""
    head, start = _language_head(automaton, tokenizer, vocabulary, 0 if joints.are_regular else _LOOSE)
    # States are in topological order and lead off one shared path: those from `start` on are those it reaches.
    table, accepting = np.maximum(automaton.table[start:] - start, NONE), automaton.accepting[start:]
    ids = vocabulary.over(np.any(table >= 0, axis=0))
    leads = vocabulary.walk(ids, table)
    readable = (leads >= 0).any(axis=0)
    ids, leads = ids[readable], leads[:, readable]
    kinds = joints.kinds(ids)
    classes, follows = _classes(ids, leads, kinds, joints)
    first = _after_head(head, ids[leads[0] >= 0], tokenizer, vocabulary, joints)
    follows = np.vstack([follows, np.isin(ids, first)])
    root = _add_states(nodes, accepting, ids, leads, classes, follows)
    return nodes.add_path(head, root)


def common_head(
    words: Sequence[bytes], shared: int, tokenizer: TextTokenizer, vocabulary: Vocabulary
) -> list[int]:
    """The ids with which all words begin, within their first `shared` bytes."""
    head: list[int] = []
    length = 0
    for token, *others in zip(*tokenizer.encode_batch([word.decode() for word in words]), strict=False):
        length += len(vocabulary.texts[token])
        if length > shared or any(other != token for other in others):
            break
        head.append(token)
    return head


def _language_head(
    automaton: ByteAutomaton, tokenizer: TextTokenizer, vocabulary: Vocabulary, loose: int
) -> tuple[list[int], int]:
    """The ids with which every word begins, and the state they lead to; the last `loose` of them left open."""
    state, shared = 0, b""
    while not automaton.accepting[state] and len(nexts := np.flatnonzero(automaton.table[state] >= 0)) == 1:
        shared += bytes([int(nexts[0])])
        state = int(automaton.table[state, nexts[0]])
    rng = np.random.default_rng([0, _STREAM])
    # What stands first decides how the prefix ends in tokens: each first byte takes part.
    starts = [
        (bytes([byte]), int(automaton.table[state, byte]))
        for byte in np.flatnonzero(automaton.table[state] >= 0)
    ]
    words = [shared + byte + automaton.draw(rng, to) for byte, to in starts for _ in range(2)] or [shared]
    head = common_head(words, len(shared), tokenizer, vocabulary)
    # Pieces of longer characters cannot be tried: the head stays behind the last of them.
    while loose and head and vocabulary.texts[head[-1]].isascii():
        loose -= 1
        head.pop()
    return head, automaton.walk(vocabulary.text(head))


def _classes(
    ids: NDArray[np.int64], leads: NDArray[np.int32], kinds: NDArray[np.int64], joints: Joints
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The class of each token, and which tokens may follow each class: int [n_ids], bool [n_classes, n_ids]."""
    names, local = np.unique(kinds, return_inverse=True)
    needed = _meetings(leads, local, len(names))
    joints.prepare((int(names[one]), int(names[other])) for one, other in np.argwhere(needed).tolist())
    places = [np.flatnonzero(local == kind) for kind in range(len(names))]
    numbers = [
        np.searchsorted(joints.members(int(name)), ids[place])
        for name, place in zip(names, places, strict=True)
    ]
    groups: list[NDArray[np.int64]] = []
    rows: list[NDArray[np.bool_]] = []
    for one, place in enumerate(places):
        answers = {
            other: joints.block(int(names[one]), int(names[other])) for other in np.flatnonzero(needed[one])
        }
        # One row stands for all tokens of the shape unless some answer tells them apart.
        alike = all(isinstance(answer, bool) for answer in answers.values())
        block = np.zeros((1 if alike else len(place), len(ids)), dtype=np.bool_)
        for other, answer in answers.items():
            whole = answer if isinstance(answer, bool) else answer[np.ix_(numbers[one], numbers[other])]
            block[:, places[other]] = whole
        groups += [place] if alike else list(place[:, None])
        rows.append(block)
    follows = np.concatenate(rows)
    packed = np.packbits(follows, axis=1)
    first: dict[bytes, int] = {}
    merged = [first.setdefault(row.tobytes(), len(first)) for row in packed]
    classes = np.empty(len(ids), dtype=np.int64)
    for group, number in zip(groups, merged, strict=True):
        classes[group] = number
    return classes, follows[[merged.index(number) for number in range(len(first))]]


def _meetings(leads: NDArray[np.int32], kinds: NDArray[np.int64], n_kinds: int) -> NDArray[np.bool_]:
    """bool [n_kinds, n_kinds]: whether some place lets a token of one kind be followed by one of the other."""
    states, tokens = np.nonzero(leads >= 0)
    arrive = np.zeros((n_kinds, len(leads)), dtype=np.float32)
    leave = np.zeros((len(leads), n_kinds), dtype=np.float32)
    arrive[kinds[tokens], leads[states, tokens]] = 1
    leave[states, kinds[tokens]] = 1
    return arrive @ leave > 0


def _after_head(
    head: list[int], ids: NDArray[np.int64], tokenizer: TextTokenizer, vocabulary: Vocabulary, joints: Joints
) -> NDArray[np.int64]:
    """The ids that the tokenizer puts right after the head: by shape if a sample agrees, else each is tried."""
    before = vocabulary.text(head)

    def fits(tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        texts = [
            (before + vocabulary.texts[token]).decode("utf-8", errors="ignore") for token in tokens.tolist()
        ]
        found = tokenizer.encode_batch(texts)
        return np.array(
            [one == [*head, token] for one, token in zip(found, tokens.tolist(), strict=True)], dtype=bool
        )

    kinds = joints.kinds(ids)
    groups = [ids[kinds == kind] for kind in np.unique(kinds)]
    samples = [
        group[np.linspace(0, len(group) - 1, _SAMPLE).astype(int)]
        if len(group) > _SAMPLE and joints.are_regular
        else group
        for group in groups
    ]
    answers = np.split(fits(np.concatenate(samples)), np.cumsum([len(some) for some in samples])[:-1])
    kept = []
    for group, some, answer in zip(groups, samples, answers, strict=True):
        if len(some) < len(group):
            answer = fits(group) if answer.all() != answer.any() else np.full(len(group), answer[0])
        kept.append(group[answer])
    return np.concatenate(kept)


def _add_states(
    nodes: TokenNodes,
    accepting: NDArray[np.bool_],
    ids: NDArray[np.int64],
    leads: NDArray[np.int32],
    classes: NDArray[np.int64],
    follows: NDArray[np.bool_],
) -> int:
    """The node of the first place after the head, whose row of `follows` is the last."""
    tokens, alive = ids.astype(np.int32), leads >= 0
    reached = np.zeros((len(leads), len(follows)), dtype=np.bool_)
    reached[0, -1] = True
    edges: list[list[tuple[int, NDArray[np.int64]]]] = []
    for state in range(len(leads)):
        edges.append(
            [
                (last, np.flatnonzero(alive[state] & follows[last]))
                for last in np.flatnonzero(reached[state]).tolist()
            ]
        )
        for _, allowed in edges[-1]:
            reached[leads[state, allowed], classes[allowed]] = True
    made = np.full(reached.shape, NONE, dtype=np.int32)
    for state in range(len(leads) - 1, -1, -1):
        for last, allowed in edges[state]:
            targets = made[leads[state, allowed], classes[allowed]]
            made[state, last] = nodes.add_array(bool(accepting[state]), tokens[allowed], targets)
    return int(made[0, -1])

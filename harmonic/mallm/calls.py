"""Calls: how the generator is asked, by the base's own measure or as an adapter has learnt it.

What enters is the [mallm] section and what an adapter says of the prompts it learnt; what leaves is `Calls`. The base
reads any prompt; a model that was fine-tuned in one order of columns, one row a prompt, writes good rows in no other
(adult_400, parents first with 25 examples: AUC .44; as learnt: .90).
"""

from __future__ import annotations

from harmonic.config import MallmSection
from harmonic.mallm.generator import Calls
from harmonic.prompt.contexts import column_order
from harmonic.prompt.learnt import Learnt
from harmonic.table.schema import Schema

_ANY = ("shuffled", "target_then_shuffled")
"""Orders that teach a model all others."""


def calls_of(section: MallmSection, learnt: Learnt | None, schema: Schema) -> Calls:
    """The calls that [mallm] asks for; what it leaves open is the adapter's, or the default."""
    counts: dict[str, int] = {}
    for source in (learnt, section):
        said = {name: getattr(source, name, None) for name in ("examples", "rows")}
        counts |= {name: count for name, count in said.items() if count is not None}
    return Calls(choice=section.choice, says_graph=section.says_graph, order=_order(learnt, schema), **counts)


def _order(learnt: Learnt | None, schema: Schema) -> tuple[int, ...] | None:
    if learnt is None or learnt.order in _ANY:
        return None
    names = [column.name for column in schema.modelled]
    target = names.index(schema.target) if schema.target in names else None
    return column_order(learnt.order, len(names), target, seed=0, purpose="sample", index=0)

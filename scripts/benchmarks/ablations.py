"""What each part of fine-tuning nano is worth: the same table, split and budget with one thing otherwise.

Variants: the defaults; random weights of nano's shape, of about half and of about twice its parameters (2.2 million),
which tells what pretraining gives from what size gives; HARMONIC's neighbours in every context, with loss on the
examples too; and the same with loss on the asked rows alone (completion only), which is no other thing where contexts
show nothing. Each is measured as `fewrows` measures. Size after pretraining is not measured: one nano is pretrained.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bases import Width, random_base
from benchmarks.fewrows import figures_of, means_of

TABLES = ("adult_400", "ins_400clean")
BASES = {"random-weights": Width(), "random-half": Width(2, 352), "random-double": Width(4, 960)}
_NEIGHBORS = ('prompt.contexts="neighbors"', "prompt.examples=8", "prompt.fewest=4", "prompt.rows=4")
SETTINGS = {
    "defaults": (),
    "neighbours": _NEIGHBORS,
    "neighbours-completion-only": (*_NEIGHBORS, 'prompt.loss="all"'),
}


def measure(arguments: Namespace) -> Iterator[dict[str, object]]:
    """A row of means over the seeds for each table and variant; `--only` names tables."""
    out = Path(arguments.out)
    bases = {name: random_base(out / "bases" / name, width) for name, width in BASES.items()}
    for table in arguments.only or TABLES:
        for variant, settings in {**SETTINGS, **bases}.items():
            found = [
                figures_of(arguments, table, seed, [*settings, *arguments.set], folder=f"ablations/{variant}")
                for seed in range(arguments.seeds)
            ]
            yield {"table": table, "variant": variant, "seeds": len(found), **means_of(found)}

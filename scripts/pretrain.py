"""Makes a base model from nothing on generated tables, in resumable chunks; then exports it.

python scripts/pretrain.py configs/pretrain/nano.toml --minutes 40
torchrun --nproc_per_node 2 scripts/pretrain.py configs/pretrain/nano.toml --minutes 40
python scripts/pretrain.py configs/pretrain/nano.toml --minutes 0 --export checkpoints/nano
"""

from __future__ import annotations

import logging
from pathlib import Path

import cli

from harmonic.settings import apply_overrides, parse_section, read_toml


def work() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=40.0, help="how long this chunk trains")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--export", help="a folder for the model as it stands after this chunk")
    arguments = parser.parse_args()
    from harmonic.nano.pretrain import Pretraining, PretrainSettings

    data = apply_overrides(read_toml(arguments.config), arguments.set)
    settings = parse_section(PretrainSettings, data, where=f"Recipe {arguments.config!r}")
    if arguments.dry_run:
        return cli.say(str(settings))
    logging.getLogger("harmonic").setLevel(logging.INFO)
    name = Path(arguments.config).stem
    pretraining = Pretraining(
        settings, Path(arguments.out or f"checkpoints/pretrain/{name}"), arguments.device
    )
    if arguments.minutes > 0 and not pretraining.is_done:
        pretraining.train(arguments.minutes)
    if not pretraining.processes.is_main_process:
        return
    if arguments.export:
        pretraining.export(Path(arguments.export))
    spent, planned = pretraining.tokens, settings.optimizer.total_tokens
    cli.say(
        f"{spent:,} of {planned:,} tokens{', done' if pretraining.is_done else ', go on with the same command'}"
    )


if __name__ == "__main__":
    cli.main(work)

"""Fine-tunes the base of a run file on its table, or runs its loop: adapter or graph land in the run folder.

accelerate launch --config_file configs/accelerate/ddp.yaml scripts/train.py configs/runs/harmonic/adult.toml
"""

from __future__ import annotations

import cli


def work() -> None:
    arguments = cli.parser(__doc__).parse_args()
    config = cli.config_of(arguments)
    if arguments.dry_run:
        return cli.dry_run(config)
    from harmonic import journey

    with cli.open_run(config.folder, config, resume=arguments.resume, force=arguments.force) as run:
        journey.train(run, config, resume=arguments.resume, processes=cli.processes())
        is_mallm = config.run.method == "mallm"
        cli.say(f"Graph: {run.path('graph.json')}" if is_mallm else f"Adapter: {run.path('adapter')}")


if __name__ == "__main__":
    cli.main(work)

"""Merges a run's adapter into its base: a plain model folder that any tool can load.

python scripts/merge.py checkpoints/harmonic/adult/s0 --out checkpoints/adult-merged
"""

from __future__ import annotations

from pathlib import Path

import cli

from harmonic.errors import HarmonicError
from harmonic.run import Run


def work() -> None:
    parser = cli.folder_parser(__doc__)
    parser.add_argument("--out", required=True, help="a new folder for the merged model")
    arguments = parser.parse_args()
    config = cli.trained(arguments.config)
    if Path(arguments.out).exists():
        raise HarmonicError(f"--out {arguments.out!r}: expected a new folder for the merged model. Name one.")
    from harmonic.model.load import load_model
    from harmonic.model.merge import merge, save_merged

    section = config.model
    loaded = load_model(
        section.base,
        revision=section.revision,
        adapter=Run.join(arguments.config).path("adapter"),
        quantization=config.quantization,
        dtype=section.dtype,
        device=section.device,
    )
    merged = merge(loaded)
    save_merged(merged, Path(arguments.out))
    cli.say(
        f"Merged: {arguments.out} (mean difference of next-token distributions {merged.mean_difference:.2e})"
    )


if __name__ == "__main__":
    cli.main(work)

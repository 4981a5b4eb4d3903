"""MALLM-GAN in one go, for tables of 25 to 800 rows: loop, sample, report; no weights change.

python scripts/mallm.py configs/runs/mallm/adult.toml
python scripts/mallm.py --table patients.csv --target outcome --rows 1000
python scripts/mallm.py --table patients.csv --target outcome --set mallm.adapter=checkpoints/harmonic/patients/s0
"""

from __future__ import annotations

from pathlib import Path

import cli
import whole


def work() -> None:
    arguments = whole.parser(__doc__).parse_args()
    is_folder = arguments.table is None and arguments.config is not None and Path(arguments.config).is_dir()
    method = () if is_folder else ('run.method="mallm"',)
    whole.run(whole.config_of(arguments, *method), arguments)


if __name__ == "__main__":
    cli.main(work)

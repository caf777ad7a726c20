"""metatrain's command line with what it has no setting for.

    python -m training.launch soap train options.yaml ...

The optimizer is the first argument: metatrain asks torch for Adam, and is given what was chosen. On
CPUs its network is evaluated by :mod:`training.rows`, as many parts at a time as torch has threads.
"""

from __future__ import annotations

import sys

import metatrain.pet.trainer as trainer
import torch
from metatrain.__main__ import main

from training.rows import by_rows
from training.soap import Soap

OPTIMIZERS = {"adam": torch.optim.Adam, "soap": Soap}

if __name__ == "__main__":
    torch.optim.Adam = OPTIMIZERS[sys.argv.pop(1)]
    trainer.evaluate_model = by_rows(trainer.evaluate_model, torch.get_num_threads())
    main()

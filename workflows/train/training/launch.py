"""metatrain's command line with what it has no setting for.

    python -m training.launch soap train options.yaml ...

The optimizer is the first argument: metatrain asks torch for Adam, and is given what was chosen. On
CPUs its network is evaluated by :mod:`training.rows`, as many parts at a time as torch has threads.
A random network keeps its maps of edge vectors until its first stage is done (`with_vectors`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import metatrain.pet.trainer as trainer
import torch
from metatrain.__main__ import main
from metatrain.pet.modules.transformer import CartesianTransformer

from training.rows import by_rows
from training.soap import Soap

OPTIMIZERS = {"adam": torch.optim.Adam, "soap": Soap}


def with_vectors(train: Callable[..., None]) -> Callable[..., None]:
    """metatrain's ``Trainer.train`` on a network that cannot forget how to see directions.

    Before it has learned what to do with them, vectors that turn at random in every frame are
    noise to a network, and the quickest way to less of it is to multiply them by zero and to see
    lengths alone. From there it never returns: without vectors no gradient says what they would
    be good for. Later stages, which begin with weights of others, are free.
    """

    def held(self: Any, model: Any, *arguments: Any, **options: Any) -> None:
        for module in model.modules():
            if isinstance(module, CartesianTransformer):
                module.edge_embedder.weight.requires_grad_(False)
        train(self, model, *arguments, **options)

    return held


if __name__ == "__main__":
    torch.optim.Adam = OPTIMIZERS[sys.argv.pop(1)]
    trainer.Trainer.train = with_vectors(trainer.Trainer.train)
    trainer.evaluate_model = by_rows(trainer.evaluate_model, torch.get_num_threads())
    main()

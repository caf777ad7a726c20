"""metatrain's command line with what it has no setting for.

    python -m training.launch [--start model.pt] soap train options.yaml ...

The optimizer comes before metatrain's own arguments: metatrain asks torch for Adam, and is given
what was chosen. On CPUs its network is evaluated by :mod:`training.rows`, as many parts at a time
as torch has threads. The first stage begins with the weights of an archive, or with random ones; a
random network keeps its maps of edge vectors until that stage is done (`prepared`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import metatrain.pet.trainer as trainer
import torch
from metatrain.__main__ import main
from metatrain.pet.modules.transformer import CartesianTransformer
from torch.optim.lr_scheduler import LambdaLR

from pet_driver.checkpoints.source import Source
from pet_driver.model.archive import Archive
from training.rows import by_rows
from training.soap import Soap
from training.start import begin_with

OPTIMIZERS = {"adam": torch.optim.Adam, "soap": Soap}


class Schedule(LambdaLR):
    """A schedule of the learning rate that resumes at the rate where it was stopped.

    One that is made anew sets the optimizer to the rate of its first step, and torch's leaves it
    there until the next one: a training would resume with a step at a wrong rate.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for group, rate in zip(self.optimizer.param_groups, self.get_last_lr(), strict=True):
            group["lr"] = rate


def prepared(train: Callable[..., None], start: Source | None) -> Callable[..., None]:
    """metatrain's ``Trainer.train`` on a network that cannot forget how to see directions.

    Before it has learned what to do with them, vectors that turn at random in every frame are
    noise to a network, and the quickest way to less of it is to multiply them by zero and to see
    lengths alone. From there it never returns: without vectors no gradient says what they would
    be good for. Later stages, which begin with weights of others, are free, and so is a network
    that begins with those of ``start``.
    """

    def train_prepared(self: Any, model: Any, *arguments: Any, **options: Any) -> None:
        if start is None:
            for module in model.modules():
                if isinstance(module, CartesianTransformer):
                    module.edge_embedder.weight.requires_grad_(False)
        elif self.optimizer_state_dict is None:  # not resumed
            begin_with(start, model)
        train(self, model, *arguments, **options)

    return train_prepared


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--start")
    parser.add_argument("optimizer", choices=OPTIMIZERS)
    parser.add_argument("metatrain", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    sys.argv[1:] = chosen.metatrain
    start = None if chosen.start is None else Archive.load(chosen.start).source()
    torch.optim.Adam = OPTIMIZERS[chosen.optimizer]
    trainer.LambdaLR = Schedule
    trainer.Trainer.train = prepared(trainer.Trainer.train, start)
    trainer.evaluate_model = by_rows(trainer.evaluate_model, torch.get_num_threads())
    main()

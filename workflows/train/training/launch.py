"""Run the command line of metatrain with options that it has no setting for.

    python -m training.launch [--start model.pt] soap train options.yaml ...

The optimizer replaces torch's Adam, which metatrain uses. On CPUs the network is evaluated by
:mod:`training.edge_list`, in as many parts at a time as torch has threads. The first stage begins
with the weights of an archive or with random ones; in a random network the weights that embed edge
vectors are frozen during the first stage (see `prepared`).
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
from training.edge_list import evaluate_by_edge_list
from training.soap import Soap
from training.start import begin_with

OPTIMIZERS = {"adam": torch.optim.Adam, "soap": Soap}


class Schedule(LambdaLR):
    """A learning rate schedule that resumes at the rate where it was stopped.

    A new schedule sets the optimizer to the rate of the first step, and torch's does not correct it
    when its state is loaded: the first step after a resume would have a wrong rate.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for group, rate in zip(self.optimizer.param_groups, self.get_last_lr(), strict=True):
            group["lr"] = rate


def prepared(train: Callable[..., None], start: Source | None) -> Callable[..., None]:
    """Wrap metatrain's ``Trainer.train`` so that a new network keeps its use of directions.

    Every frame is randomly rotated. To a network that has learned nothing yet the directions of
    edge vectors are noise, and gradient descent reduces this noise by driving their weights to
    zero. The network then sees distances only, and no gradient brings the directions back.
    Therefore these weights are frozen in the first stage of a random network. They are trained in
    later stages, and from the beginning in a network that starts with the weights of ``start``.
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
    trainer.evaluate_model = evaluate_by_edge_list(trainer.evaluate_model, torch.get_num_threads())
    main()

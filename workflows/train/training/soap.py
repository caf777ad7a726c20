"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (N. Vyas et al., arXiv 2409.11321).

The basis costs little beside a step on forces, and the loss falls in fewer steps.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pytorch_optimizer import SOAP

BASIS_STEPS = 5  # steps of the optimizer between two of the eigenbasis


class Soap(SOAP):
    """SOAP under the arguments that metatrain gives Adam."""

    def __init__(self, params: Iterable[torch.nn.Parameter], lr: float) -> None:
        super().__init__(params, lr=lr, weight_decay=0.0, precondition_frequency=BASIS_STEPS)

"""The SOAP optimizer: Adam in the eigenbasis of Shampoo's preconditioner.

Source: N. Vyas et al., arXiv 2409.11321. The eigenbasis costs little compared with a training step
on forces, and fewer steps are needed than with Adam.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pytorch_optimizer import SOAP

BASIS_STEPS = 5  # optimizer steps between updates of the eigenbasis


class Soap(SOAP):
    """SOAP with the arguments that metatrain passes to Adam."""

    def __init__(self, params: Iterable[torch.nn.Parameter], lr: float) -> None:
        super().__init__(params, lr=lr, weight_decay=0.0, precondition_frequency=BASIS_STEPS)

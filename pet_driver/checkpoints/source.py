"""What a trained model is, whatever file it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pet_driver.errors import PetDriverError
from pet_driver.neighbors import Structure
from pet_driver.network import PET, Hypers


@dataclass(frozen=True)
class Source:
    """A trained network, complete.

    Attributes:
        hypers: shape of the network.
        weights: state dict of :class:`pet_driver.network.PET`.
        atomic_numbers: species in the order of the embeddings.
        scale: the network's output times this is an energy in eV.
        composition: energy of one atom of each species in eV, added to the network's.
        provenance: where the weights came from.
        reference: energy (eV, float64) of a structure by the code that trained the network,
            where that code is at hand.
    """

    hypers: Hypers
    weights: dict[str, Tensor]
    atomic_numbers: list[int]
    scale: float
    composition: list[float]
    provenance: dict[str, str] = field(default_factory=dict)
    reference: Callable[[Structure], float] | None = None

    def build(self, dtype: torch.dtype) -> PET:
        """The network with its weights, in ``dtype``, ready for inference."""
        network = PET(self.hypers, len(self.atomic_numbers)).to(dtype)
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            origin = self.provenance.get("file", "the checkpoint")
            raise PetDriverError(
                f"the weights of {origin} do not fit the network that its hyper-parameters "
                f"describe: {error}"
            ) from None
        return network.requires_grad_(False).eval()

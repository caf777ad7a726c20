"""A trained model, independent of the format of its file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pet_driver.errors import PetDriverError
from pet_driver.neighbors.structure import Structure
from pet_driver.network import PET, Hypers
from pet_driver.symmetry import PotentialParameters


@dataclass(frozen=True)
class Source:
    """A trained model.

    Attributes:
        hypers: hyper-parameters of the network.
        weights: state dict of :class:`pet_driver.network.PET`.
        atomic_numbers: atomic number of each species, in the order of the embeddings.
        scale: factor that converts the network's output to an energy in eV.
        composition: energy of one atom of each species in eV, added to the network's.
        provenance: origin of the weights.
        reference: function that returns the energy (eV, float64) of a structure by the code that
            trained the network, if that code is installed.
        zbl_radii: covalent radius of each species in A, for the repulsion that is added
            (:class:`pet_driver.network.Repulsion`); ``None``: no repulsion.

    Raises:
        PetDriverError: the repulsion has a longer range than the network's cutoff.
    """

    hypers: Hypers
    weights: dict[str, Tensor]
    atomic_numbers: list[int]
    scale: float
    composition: list[float]
    provenance: dict[str, str] = field(default_factory=dict)
    reference: Callable[[Structure], float] | None = None
    zbl_radii: list[float] | None = None

    def __post_init__(self) -> None:
        largest = 2.0 * max(self.zbl_radii or [0.0])
        if largest > self.hypers.cutoff:
            raise PetDriverError(
                f"the ZBL repulsion of {self.origin} reaches {largest:.2f} A, further than the "
                f"network's cutoff of {self.hypers.cutoff:.2f} A, and an archive has no longer "
                "edges; train with a longer cutoff, or without zbl"
            )

    @property
    def origin(self) -> str:
        """The file of the weights, for messages."""
        return self.provenance.get("file") or "the model"

    def parameters(self, dtype: torch.dtype) -> PotentialParameters:
        """Return the parameters other than the weights, for a network in ``dtype``."""
        return PotentialParameters(
            self.hypers,
            dtype,
            self.atomic_numbers,
            self.scale,
            self.composition,
            self.zbl_radii,
        )

    def build(self, dtype: torch.dtype) -> PET:
        """Return the network with its weights, in ``dtype``, ready for inference.

        Raises:
            PetDriverError: the weights do not fit the hyper-parameters.
        """
        network = PET(self.hypers, len(self.atomic_numbers)).to(dtype)
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            raise PetDriverError(
                f"the weights of {self.origin} do not fit the network that its hyper-parameters "
                f"describe: {error}"
            ) from None
        return network.requires_grad_(False).eval()

"""Hyper-parameters of a PET network, with metatrain's names."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pet_driver.errors import PetDriverError

CHOICES = {
    "cutoff_function": ("Bump", "Cosine"),
    "adaptive_cutoff_method": ("solver", "grid"),
    "normalization": ("RMSNorm", "LayerNorm"),
    "activation": ("SwiGLU", "SiLU"),
    "transformer_type": ("PreLN", "PostLN"),
    "featurizer_type": ("feedforward", "residual"),
}


@dataclass(frozen=True)
class Hypers:
    """Hyper-parameters that determine the architecture of a network; lengths in A.

    With ``num_neighbors_adaptive`` each atom has a cutoff radius of its own, at which it has about
    so many neighbours; with ``None`` all atoms have ``cutoff``.

    Raises:
        PetDriverError: a value that this network does not have.
    """

    cutoff: float = 4.5
    cutoff_width: float = 0.5
    cutoff_function: str = "Bump"
    num_neighbors_adaptive: float | None = None
    adaptive_cutoff_method: str = "solver"
    cutoff_width_adaptive: float = 1.0
    d_pet: int = 128
    d_head: int = 128
    d_node: int = 256
    d_feedforward: int = 256
    num_heads: int = 8
    num_attention_layers: int = 2
    num_gnn_layers: int = 2
    normalization: str = "RMSNorm"
    activation: str = "SwiGLU"
    attention_temperature: float = 1.0
    transformer_type: str = "PreLN"
    featurizer_type: str = "feedforward"

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise PetDriverError(
                    f"hyper-parameter {name} = {getattr(self, name)!r} is not known; "
                    f"this network has {', '.join(choices)}"
                )
        if self.d_pet % self.num_heads:
            raise PetDriverError(
                f"d_pet = {self.d_pet} is not divisible by num_heads = {self.num_heads}"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Hypers:
        """Return the hyper-parameters among ``values``; other entries are ignored."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})

    def to_dict(self) -> dict[str, Any]:
        """Return the hyper-parameters by name."""
        return asdict(self)

    @property
    def num_readout_layers(self) -> int:
        """Number of readouts: one a layer in the residual featurizer, one at the end otherwise."""
        return self.num_gnn_layers if self.featurizer_type == "residual" else 1

    @property
    def hops(self) -> int:
        """Largest number of edges between an atom and an edge that enters the atom's energy.

        One for each layer after the first, and one for the exchange with the reverse edge before
        the feedforward readout.
        """
        return self.num_gnn_layers - 1 + (self.featurizer_type == "feedforward")

    @property
    def interaction_range(self) -> float:
        """Largest distance (A) at which a displaced atom changes the energy of another.

        Every message-passing layer adds one cutoff. The feedforward readout adds one, because it
        follows an exchange with the reverse edge, which depends on the environment of the
        neighbour. An adaptive pair cutoff depends on that environment too, for every edge on the
        way, which adds one cutoff in all.
        """
        return (1 + self.hops + (self.num_neighbors_adaptive is not None)) * self.cutoff

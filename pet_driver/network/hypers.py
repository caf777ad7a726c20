"""Hyper-parameters of a PET network, with the names that metatrain gives them."""

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
    """Everything that fixes the shape of a network; lengths in A.

    ``num_neighbors_adaptive`` switches the adaptive cutoff on; ``None`` means every atom sees
    up to ``cutoff``.
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
        """Take the fields of this class out of ``values`` and leave the rest."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def num_readout_layers(self) -> int:
        """The residual featurizer reads energies out after every layer, feedforward at the end."""
        return self.num_gnn_layers if self.featurizer_type == "residual" else 1

    @property
    def hops(self) -> int:
        """How many edges away an edge may begin and still enter an atom's energy.

        One for each layer after the first, and one for the exchange with the reverse edge before
        the feedforward readout.
        """
        return self.num_gnn_layers - 1 + (self.featurizer_type == "feedforward")

    @property
    def interaction_range(self) -> float:
        """How far (A) a displacement can be from an atom and still change its energy.

        Every message-passing layer reaches one cutoff further. The feedforward readout comes
        after a last exchange with the reverse edge, which belongs to the neighbour and so to
        the neighbour's surroundings; an adaptive pair cutoff needs the neighbour's surroundings
        too, and it needs them at every step of the way, which again adds one cutoff in all.
        """
        return (1 + self.hops + (self.num_neighbors_adaptive is not None)) * self.cutoff

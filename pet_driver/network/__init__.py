"""The PET network and the ZBL repulsion: torch only, every part can be TorchScript."""

from pet_driver.network.cutoffs import PairCutoffs
from pet_driver.network.hypers import Hypers
from pet_driver.network.pet import PET, DifferentiableNetwork
from pet_driver.network.repulsion import Repulsion

__all__ = ["PET", "DifferentiableNetwork", "Hypers", "PairCutoffs", "Repulsion"]

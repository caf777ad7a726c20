"""The PET network and nothing else: torch only, every part TorchScript-able."""

from pet_driver.network.cutoffs import PairCutoffs
from pet_driver.network.hypers import Hypers
from pet_driver.network.pet import PET, DifferentiableNetwork

__all__ = ["PET", "DifferentiableNetwork", "Hypers", "PairCutoffs"]

"""The PET network and nothing else: torch only, every part TorchScript-able."""

from pet_driver.network.hypers import Hypers
from pet_driver.network.pet import PET

__all__ = ["PET", "Hypers"]

"""Build and read starting structures: a water molecule, liquid water, ice Ih."""

from pet_driver.building.files import check_output, write_structure
from pet_driver.building.ice import check_ice_rules, ice_ih
from pet_driver.building.liquid import liquid, relax, water_molecule

__all__ = [
    "check_ice_rules",
    "check_output",
    "ice_ih",
    "liquid",
    "relax",
    "water_molecule",
    "write_structure",
]

"""Run PET potentials in i-PI, LAMMPS and ASE, raw or averaged over rotations.

The public names are imported on first use. LAMMPS imports this package to find its plugin and must
not wait for torch, and the analysis does not need torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pet_driver.engines.ase import PETCalculator
    from pet_driver.errors import PetDriverError
    from pet_driver.model.ensemble import Ensemble, load
    from pet_driver.model.evaluator import Model
    from pet_driver.model.export import export
    from pet_driver.model.results import Results, TensorResults

__version__ = "0.1.0"
__all__ = [
    "Ensemble",
    "Model",
    "PETCalculator",
    "PetDriverError",
    "Results",
    "TensorResults",
    "export",
    "load",
]

_MODULES = {
    "Ensemble": "pet_driver.model.ensemble",
    "Model": "pet_driver.model.evaluator",
    "PETCalculator": "pet_driver.engines.ase",
    "PetDriverError": "pet_driver.errors",
    "Results": "pet_driver.model.results",
    "TensorResults": "pet_driver.model.results",
    "export": "pet_driver.model.export",
    "load": "pet_driver.model.ensemble",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'pet_driver' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)

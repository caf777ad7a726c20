"""metatrain's PET as the reference for the network of this package."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from pet_driver.checkpoints.metatrain import double_precision

metatrain = pytest.importorskip("metatrain", reason="metatrain is not installed")

import metatensor.torch  # noqa: E402
import metatomic.torch  # noqa: E402
from metatrain.pet import PET as MetatrainPET  # noqa: E402
from metatrain.utils.architectures import get_default_hypers  # noqa: E402
from metatrain.utils.data import DatasetInfo  # noqa: E402
from metatrain.utils.data.target_info import (  # noqa: E402
    get_energy_target_info,
    get_generic_target_info,
)
from metatrain.utils.neighbor_lists import (  # noqa: E402
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

ONE_ENERGY = MappingProxyType({"energy": "energy"})


def random_model(
    atomic_types: list[int], quantities: Mapping[str, str] = ONE_ENERGY, **hypers: Any
) -> MetatrainPET:
    """Return a metatrain PET with random weights, in float64.

    Args:
        atomic_types: atomic numbers.
        quantities: quantity of each target by name.
        hypers: hyper-parameters other than the defaults.
    """
    torch.manual_seed(0)
    values = get_default_hypers("pet")["model"] | hypers
    targets = {name: _target(name, quantity) for name, quantity in quantities.items()}
    info = DatasetInfo(length_unit="angstrom", atomic_types=atomic_types, targets=targets)
    return MetatrainPET(values, info).to(torch.float64).eval()


def _target(name: str, quantity: str) -> Any:
    entries = {"quantity": quantity, "unit": "eV"}
    if quantity == "energy":
        return get_energy_target_info(name, entries)
    kind = {"sample_kind": "system", "num_subtargets": 1, "type": "scalar"}
    return get_generic_target_info(name, entries | kind)


def scale_energies(model: MetatrainPET, scale: float) -> None:
    """Multiply the network's output by ``scale``, as after a training with scaled targets."""
    for name in ("energy_scaler_buffer", "energy_per_target_scaler_buffer"):
        scales = metatensor.torch.load_buffer(getattr(model.scaler, name))
        scales.block().values[:] = scale
        setattr(model.scaler, name, metatensor.torch.save_buffer(scales))


def energy_and_forces(model: Any, atoms: Atoms, target: str = "energy") -> tuple[float, np.ndarray]:
    """Return energy (eV) and forces (eV/A) by metatrain."""
    model = model.to(torch.float64).eval()
    positions = torch.tensor(atoms.positions, dtype=torch.float64, requires_grad=True)
    system = metatomic.torch.System(
        types=torch.tensor(atoms.numbers, dtype=torch.int32),
        positions=positions,
        cell=torch.tensor(np.array(atoms.cell), dtype=torch.float64),
        pbc=torch.tensor(atoms.pbc),
    )
    system = get_system_with_neighbor_lists(system, get_requested_neighbor_lists(model))
    output = metatomic.torch.ModelOutput(unit="eV")
    with double_precision():
        energy = model([system], {target: output})[target].block().values.sum()
    energy.backward()
    return energy.item(), -positions.grad.numpy()

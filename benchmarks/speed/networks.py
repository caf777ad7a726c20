"""Networks of the benchmark: metatrain checkpoints with random weights.

Every contender converts the same checkpoint. No training is needed, because the time of an
evaluation does not depend on the values of the weights.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

SPECIES = [1, 8]
# Typical total energies of atoms in density-functional calculations (eV). Their sum is large
# compared with the interaction energies, and shows which contenders lose digits.
COMPOSITION = {1: -13.6, 8: -432.0}

# "small" is the size of the shipped model. The others have the sizes of the models that UPET
# publishes under these names, for two species.
NETWORKS: dict[str, dict[str, Any]] = {
    "small": {
        "cutoff": 4.0,
        "d_pet": 64,
        "d_node": 128,
        "d_head": 64,
        "d_feedforward": 128,
        "num_heads": 4,
        "num_attention_layers": 1,
        "num_gnn_layers": 2,
    },
    "xs_like": {
        "cutoff": 7.5,
        "num_neighbors_adaptive": 8,
        "d_pet": 128,
        "d_node": 512,
        "d_head": 128,
        "d_feedforward": 256,
        "num_heads": 8,
        "num_attention_layers": 1,
        "num_gnn_layers": 2,
    },
    "s_like": {
        "cutoff": 8.0,
        "num_neighbors_adaptive": 16,
        "d_pet": 256,
        "d_node": 1024,
        "d_head": 256,
        "d_feedforward": 512,
        "num_heads": 8,
        "num_attention_layers": 1,
        "num_gnn_layers": 3,
    },
}


def make_checkpoint(name: str, path: Path) -> None:
    """Write the checkpoint of a network in a separate process."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "ignore", "-m", __name__, name, str(path)]
    subprocess.run(command, cwd=root, check=True, stderr=subprocess.DEVNULL)


def hypers(name: str) -> dict[str, Any]:
    """Return the hyper-parameters of a network that determine its number of operations."""
    return {"num_neighbors_adaptive": None, "cutoff_width_adaptive": 1.0} | NETWORKS[name]


def write_checkpoint(name: str, path: Path) -> None:
    """Write the network ``name`` with random weights as a metatrain checkpoint."""
    import metatomic.torch  # noqa: F401  registers the classes that a checkpoint holds
    import torch
    from metatrain.pet import PET
    from metatrain.utils.architectures import get_default_hypers
    from metatrain.utils.data import DatasetInfo
    from metatrain.utils.data.target_info import get_energy_target_info

    torch.manual_seed(0)
    values = get_default_hypers("pet")["model"] | hypers(name)
    targets = {"energy": get_energy_target_info("energy", {"quantity": "energy", "unit": "eV"})}
    info = DatasetInfo(length_unit="angstrom", atomic_types=SPECIES, targets=targets)
    model = PET(values, info)
    _set_composition(model.additive_models[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.get_checkpoint(), path)


def _set_composition(additive: Any) -> None:
    import metatensor.torch as mts
    import torch

    values = torch.tensor([[COMPOSITION[z]] for z in SPECIES], dtype=torch.float64)
    old = mts.load_buffer(additive.energy_composition_buffer)
    block = old.block()
    new = mts.TensorBlock(values, block.samples, block.components, block.properties)
    additive.energy_composition_buffer = mts.save_buffer(mts.TensorMap(old.keys, [new]))
    additive.sync_tensor_maps()


if __name__ == "__main__":
    write_checkpoint(sys.argv[1], Path(sys.argv[2]))

"""Reader of the directories that the original PET code (2023) writes in training.

Such a directory holds ``hypers_used.yaml``, ``all_species.npy``, ``self_contributions.npy`` and
state dicts ``best_val_{mae,rmse}_{energies,forces,both}_model_state_dict``. The 2023 network is
the residual, PostLN variant of the current one, so its weights map onto it exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from pet_driver.checkpoints.source import Source
from pet_driver.errors import PetDriverError
from pet_driver.network import Hypers

# The first is the one that the 2023 PET's own calculator uses, and i-PI's driver of it.
PREFERENCE = ("rmse_both", "mae_both", "rmse_forces", "mae_forces", "rmse_energies", "mae_energies")

# Only with these values is the 2023 network a special case of the current one.
REQUIRED: dict[str, Any] = {
    "ADD_TOKEN_FIRST": True,
    "ADD_TOKEN_SECOND": True,
    "USE_BOND_ENERGIES": True,
    "AVERAGE_BOND_ENERGIES": False,
    "COMPRESS_MODE": "mlp",
    "TRANSFORMER_TYPE": "PostLN",
    "ACTIVATION": "silu",
    "USE_LENGTH": True,
    "USE_ONLY_LENGTH": False,
    "R_EMBEDDING_ACTIVATION": False,
    "TRANSFORMERS_CENTRAL_SPECIFIC": False,
    "HEADS_CENTRAL_SPECIFIC": False,
    "USE_ADDITIONAL_SCALAR_ATTRIBUTES": False,
    "USE_LONG_RANGE": False,
    "USE_ZBL": False,
    "RESIDUAL_FACTOR": 0.5,
    "D_OUTPUT": 1,
    "TARGET_TYPE": "structural",
    "TARGET_AGGREGATION": "sum",
}

# Options without a default.
NEEDED = (
    "R_CUT",
    "CUTOFF_DELTA",
    "TRANSFORMER_D_MODEL",
    "HEAD_N_NEURONS",
    "TRANSFORMER_DIM_FEEDFORWARD",
    "TRANSFORMER_N_HEAD",
    "N_TRANS_LAYERS",
    "N_GNN_LAYERS",
    "BLEND_NEIGHBOR_SPECIES",
)

RENAMES = [
    (r"^embedding\.", "edge_embedder."),
    (r"^gnn_layers\.(\d+)\.(?:model\.)?central_embedder\.", r"node_embedders.\1."),
    (r"^gnn_layers\.(\d+)\.(?:model\.)?r_embedding\.", r"gnn_layers.\1.edge_embedder."),
    (r"^gnn_layers\.(\d+)\.(?:model\.)?trans\.layers\.", r"gnn_layers.\1.layers."),
    (r"^gnn_layers\.(\d+)\.(?:model\.)?(compress|neighbor_embedder)\.", r"gnn_layers.\1.\2."),
    (r"\.mlp\.0\.", ".mlp.w_in."),
    (r"\.mlp\.3\.", ".mlp.w_out."),
    (r"^heads\.(\d+)\.(?:model\.)?nn\.([02])\.", r"readouts.\1.node_head.\2."),
    (r"^heads\.(\d+)\.(?:model\.)?nn\.4\.(?:linear\.)?", r"readouts.\1.node_last."),
    (r"^bond_heads\.(\d+)\.(?:model\.)?nn\.([02])\.", r"readouts.\1.edge_head.\2."),
    (r"^bond_heads\.(\d+)\.(?:model\.)?nn\.4\.(?:linear\.)?", r"readouts.\1.edge_last."),
]

# The first versions of the code did not multiply bond energies by the cutoff factor. Later ones do,
# at first with the same names of weights; the option MARK was added after the change.
UNMARKED_HEADS = re.compile(r"(^|\.)bond_heads\.\d+\.nn\.")
MARK = "USE_LONG_RANGE"

# Parts of the state dict that repeat others.
DUPLICATES = re.compile(r"(^|\.)(trans_layer\.|central_tokens_predictors\.|messages_(bonds_)?pred)")


def read_pet2023(directory: Path) -> Source:
    """Read a model directory of the 2023 PET code.

    Raises:
        PetDriverError: a file or a hyper-parameter is missing or damaged, or names a part that
            this network does not have.
    """
    hypers = _read_hypers(_require(directory / "hypers_used.yaml"))
    species = [int(z) for z in _read(_require(directory / "all_species.npy"), np.load)]
    composition = _read(_require(directory / "self_contributions.npy"), np.load).reshape(-1)
    state_file = _choose_state(directory)
    state = _read(state_file, lambda p: torch.load(p, map_location="cpu", weights_only=True))
    if MARK not in hypers and any(UNMARKED_HEADS.search(name) for name in state):
        raise PetDriverError(
            f"{directory} is of an early version of the 2023 PET; some of them weight the energies "
            "of bonds with the cutoff function and some do not. If the code that trained it does "
            f"(MessagesBondsPredictor takes multipliers), write {MARK}: false into "
            f"{directory / 'hypers_used.yaml'}; if not, it has no counterpart in pet-driver"
        )
    width = int(hypers["TRANSFORMER_D_MODEL"])
    return Source(
        hypers=Hypers(
            cutoff=float(hypers["R_CUT"]),
            cutoff_width=float(hypers["CUTOFF_DELTA"]),
            cutoff_function="Cosine",
            d_pet=width,
            d_node=width,
            d_head=int(hypers["HEAD_N_NEURONS"]),
            d_feedforward=int(hypers["TRANSFORMER_DIM_FEEDFORWARD"]),
            num_heads=int(hypers["TRANSFORMER_N_HEAD"]),
            num_attention_layers=int(hypers["N_TRANS_LAYERS"]),
            num_gnn_layers=int(hypers["N_GNN_LAYERS"]),
            normalization="LayerNorm",
            activation="SiLU",
            transformer_type="PostLN",
            featurizer_type="residual",
        ),
        weights=_map_weights(state, len(species), width, bool(hypers["BLEND_NEIGHBOR_SPECIES"])),
        atomic_numbers=species,
        scale=1.0,
        composition=[float(e) for e in composition],
        provenance={
            "kind": "PET 2023 directory",
            "file": f"{directory.name}/{state_file.name}",
        },
    )


def _require(path: Path) -> Path:
    """Return the path of a file of the directory; raise PetDriverError if it is missing."""
    if not path.is_file():
        raise PetDriverError(
            f"{path.parent} is not a model directory of the 2023 PET: {path.name} is missing"
        )
    return path


def _read(path: Path, read: Callable[[Path], Any]) -> Any:
    """Read a file; raise PetDriverError if it is damaged."""
    try:
        return read(path)
    except Exception as error:  # the readers raise errors of many types
        raise PetDriverError(f"{path} cannot be read: {error}") from error


def _read_hypers(path: Path) -> dict[str, Any]:
    """Read the hyper-parameters; raise PetDriverError for those that cannot be mapped."""
    tree = _read(path, lambda file: yaml.safe_load(file.read_text()))
    hypers = tree.get("ARCHITECTURAL_HYPERS", tree) if isinstance(tree, dict) else None
    if not isinstance(hypers, dict):
        raise PetDriverError(f"{path} holds no hyper-parameters; copy it from the training again")
    if missing := [name for name in NEEDED if name not in hypers]:
        raise PetDriverError(f"{path}: there is no {', '.join(missing)}")
    _refuse_unmapped(path, hypers)
    return hypers


def _choose_state(directory: Path) -> Path:
    """Return the path of the preferred weights."""
    for kind in PREFERENCE:
        path = directory / f"best_val_{kind}_model_state_dict"
        if path.is_file():
            return path
    raise PetDriverError(f"{directory} holds no best_val_*_model_state_dict")


def _refuse_unmapped(path: Path, hypers: dict[str, Any]) -> None:
    """Raise PetDriverError for values that this network does not have."""
    for name, required in REQUIRED.items():
        value = hypers.get(name, required)
        if value != required:
            raise PetDriverError(
                f"{path}: {name} = {value!r} has no counterpart in pet-driver's network, "
                f"which needs {name} = {required!r}"
            )


def _map_weights(
    state: dict[str, Tensor], n_species: int, width: int, blended: bool
) -> dict[str, Tensor]:
    """Return the weights with the names of :class:`pet_driver.network.PET`."""
    weights: dict[str, Tensor] = {}
    for name, tensor in state.items():
        name = name.rpartition("pet_model.")[2].removeprefix("module.")
        if DUPLICATES.search(name):
            continue
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        if "embedder" in name and not re.search(r"gnn_layers\.\d+\.edge_embedder", name):
            tensor = tensor[:n_species]  # the last row stood for padding
        weights[f"featurizer.{name}"] = tensor.to(torch.float64)
    return weights if blended else _insert_neighbor_species(weights, n_species, width)


def _insert_neighbor_species(
    weights: dict[str, Tensor], n_species: int, width: int
) -> dict[str, Tensor]:
    """Add a neighbour embedding without effect to all layers but the first."""
    weights = dict(weights)
    for name in list(weights):
        match = re.fullmatch(r"(featurizer\.gnn_layers\.(\d+)\.)compress\.0\.weight", name)
        if match is None or match[2] == "0":
            continue
        geometry, message = weights[name].split(width, dim=1)
        weights[name] = torch.cat([geometry, torch.zeros_like(geometry), message], dim=1)
        weights[f"{match[1]}neighbor_embedder.weight"] = torch.zeros(
            n_species, width, dtype=torch.float64
        )
    return weights

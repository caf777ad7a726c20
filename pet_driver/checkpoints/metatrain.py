"""Reader of metatrain checkpoints (``.ckpt``), of all versions that metatrain can upgrade."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pet_driver.checkpoints.source import Source
from pet_driver.errors import PetDriverError
from pet_driver.neighbors.structure import Structure
from pet_driver.network import Hypers

PREFIX = "backend."
IGNORED = ("backend.species_to_species_index", "additive_models.", "scaler.")
# "llpr" wraps a PET and adds uncertainties, which are not read.
ARCHITECTURES = ("pet", "llpr")


def read_metatrain(path: Path, target: str | None = None) -> Source:
    """Read the energy model of a metatrain PET checkpoint.

    Args:
        path: the checkpoint.
        target: name of the energy among the model's outputs; needed only if there are several.

    Raises:
        PetDriverError: metatrain is not installed, the file is no PET checkpoint, the model has a
            part that this network does not have, or there is no such target.
    """
    model = _load(path)
    _refuse_unknown_parts(path, model)
    target = _choose_target(path, model, target)
    _refuse_other_units(path, model, target)
    return source_of_model(model, target, path.name)


def source_of_model(model: Any, target: str, file_name: str = "") -> Source:
    """Return the model of a metatrain PET in memory.

    Args:
        model: the metatrain PET.
        target: name of the energy among its outputs.
        file_name: the checkpoint, for messages.
    """
    state = _merged_state(model)
    weights = {ours: state[theirs] for ours, theirs in network_names(state, target).items()}
    scale, composition = _scale_and_composition(model, target)
    return Source(
        hypers=Hypers.from_dict(model.hypers),
        weights=weights,
        atomic_numbers=[int(z) for z in model.atomic_types],
        scale=scale,
        composition=composition,
        provenance={"kind": "metatrain checkpoint", "file": file_name, "target": target},
        reference=lambda structure: _metatrain_energy(model, structure, target),
        zbl_radii=_zbl_radii(model, target),
    )


def network_names(theirs: Iterable[str], target: str) -> dict[str, str]:
    """Return metatrain's name of each weight of the network, by the name in this package.

    Args:
        theirs: names in metatrain's state dict.
        target: name of the energy.
    """
    return {_rename(name, target): name for name in theirs if _belongs(name, target)}


def _load(path: Path) -> Any:
    """Load a metatrain PET; raise PetDriverError if it is something else."""
    try:
        import metatomic.torch  # noqa: F401  registers the classes that a checkpoint holds
        from metatrain.utils.io import model_from_checkpoint
    except ImportError:
        raise PetDriverError(
            f"reading {path} needs metatrain: pip install 'pet-driver[metatrain]'"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint = torch.load(path, weights_only=False, map_location="cpu")
            architecture = checkpoint["architecture_name"]
            if architecture in ARCHITECTURES:
                model = model_from_checkpoint(checkpoint, context="export")
    except Exception as error:
        raise PetDriverError(
            f"metatrain cannot read {path}: {error} ({type(error).__name__})"
        ) from None
    if architecture in ARCHITECTURES:
        model = getattr(model, "model", model)
        if hasattr(model, "backend"):
            return model
        architecture = type(model).__name__
    raise PetDriverError(f"{path} holds a metatrain model of type {architecture}, not a PET")


def _merged_state(model: Any) -> dict[str, Tensor]:
    """Return weights by name, in float64, with those of LoRA merged into their linear map.

    W + s B A in the notation of E. J. Hu et al., arXiv 2106.09685.
    """
    state = {name: weights.to(torch.float64) for name, weights in model.state_dict().items()}
    for name, module in model.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        down, up = (state.pop(f"{name}.lora_{which}.weight") for which in "AB")
        merged = state[f"{name}.linear.weight"] + module.scaling * up @ down
        state[f"{name}.linear.weight"] = merged  # not in place: the model is the reference
        for key in [key for key in state if key.startswith(f"{name}.linear.")]:
            state[name + key.removeprefix(f"{name}.linear")] = state.pop(key)
    return state


def _refuse_unknown_parts(path: Path, model: Any) -> None:
    """Raise PetDriverError if the model has a part that this network does not have."""
    hypers = model.hypers
    refused = {
        "long_range": bool(hypers.get("long_range", {}).get("enable")),
        "system_conditioning": bool(hypers.get("system_conditioning")),
        "an additive model besides composition and zbl": any(
            not _is_composition(additive) and not _is_zbl(additive)
            for additive in model.additive_models
        ),
    }
    for part, present in refused.items():
        if present:
            raise PetDriverError(
                f"{path} uses {part}, which pet-driver does not have; train without it"
            )


def _choose_target(path: Path, model: Any, target: str | None) -> str:
    """Return the name of the energy; raise PetDriverError if it is missing or ambiguous."""
    known = model.dataset_info.targets
    energies = [name for name, one in known.items() if _is_energy(one)]
    if not energies:
        raise PetDriverError(
            f"{path} has no target of the quantity energy, of whole structures (it has "
            f"{', '.join(known)}), and so no potential"
        )
    if target is not None:
        if target not in energies:
            raise PetDriverError(f"{path} has no energy called {target!r}; it has {energies}")
        return target
    # A fine-tuned model has the energy of the model that it started from, too.
    if len(energies) > 1:
        raise PetDriverError(
            f"{path} has {len(energies)} energies ({', '.join(energies)}); name one with --target"
        )
    return energies[0]


def _is_energy(target: Any) -> bool:
    """Return whether a target is an energy of whole structures."""
    of_structures = target.is_scalar and target.sample_kind == "system"
    return target.quantity == "energy" and of_structures and len(target.layout[0].properties) == 1


def _refuse_other_units(path: Path, model: Any, target: str) -> None:
    """Raise PetDriverError for units other than eV and A; an empty unit is taken as these.

    Many data sets state no units.
    """
    units = {
        "energy": (model.outputs[target].unit.lower(), ("ev", "")),
        "length": (model.dataset_info.length_unit.lower(), ("angstrom", "a", "")),
    }
    for quantity, (unit, known) in units.items():
        if unit not in known:
            raise PetDriverError(
                f"{path} was trained with the {quantity} unit {unit!r}; pet-driver's archives are "
                "in eV and angstrom: convert the data and train again"
            )


def _belongs(name: str, target: str) -> bool:
    """Return whether a weight of metatrain belongs to the network for this target."""
    if name.startswith(IGNORED):
        return False
    part = name.removeprefix(PREFIX).split(".")
    per_target = part[0].endswith(("_heads", "_last_layers"))
    return not per_target or ".".join(part[1:]).startswith(target + ".")


def _rename(name: str, target: str) -> str:
    """Return this package's name of a weight of metatrain."""
    name = name.removeprefix(PREFIX)
    for kind in ("node", "edge"):
        head, last = f"{kind}_heads.{target}.", f"{kind}_last_layers.{target}."
        if name.startswith(head):
            layer, rest = name.removeprefix(head).split(".", 1)
            return f"featurizer.readouts.{layer}.{kind}_head.{rest}"
        if name.startswith(last):
            layer, rest = name.removeprefix(last).split(".", 1)
            return f"featurizer.readouts.{layer}.{kind}_last.{rest.rsplit('.', 1)[1]}"
    name = name.replace(".trans.layers.", ".layers.")
    for part in ("center_contraction", "center_expansion", "norm_center_features", "center_mlp"):
        name = name.replace(f".{part}.", f".center.{part}.")
    return f"featurizer.{name}"


def _scale_and_composition(model: Any, target: str) -> tuple[float, list[float]]:
    """Return the factor of the network's output, and energies (eV) by species."""

    def values(tensor_map: Any) -> Tensor:
        return tensor_map.block().values.to(torch.float64).reshape(-1)

    model.scaler.sync_tensor_maps()
    scales = model.scaler.model.scales
    scale = float(values(scales[target])[0]) if target in scales else 1.0
    composition = torch.zeros(len(model.atomic_types), dtype=torch.float64)
    for additive in filter(_is_composition, model.additive_models):
        additive.sync_tensor_maps()
        if target in additive.model.weights:
            weights = values(additive.model.weights[target])
            order = [int(z) for z in additive.model.atomic_types]
            composition += weights[[order.index(int(z)) for z in model.atomic_types]]
    return scale, composition.tolist()


def _zbl_radii(model: Any, target: str) -> list[float] | None:
    """Return covalent radii (A) of the ZBL repulsion; None without one."""
    for additive in filter(_is_zbl, model.additive_models):
        if target in additive.outputs:
            indices = additive.species_to_index[list(model.atomic_types)]
            return additive.covalent_radii[indices].to(torch.float64).tolist()
    return None


def _is_composition(additive: Any) -> bool:
    """Return whether an additive model is metatrain's composition model."""
    return hasattr(additive, "sync_tensor_maps")


def _is_zbl(additive: Any) -> bool:
    """Return whether an additive model is metatrain's ZBL repulsion."""
    return hasattr(additive, "get_pairwise_zbl")


def _metatrain_energy(model: Any, structure: Structure, target: str) -> float:
    """Return the energy (eV) by metatrain itself, in float64."""
    from metatomic.torch import ModelOutput, System
    from metatrain.utils.neighbor_lists import (
        get_requested_neighbor_lists,
        get_system_with_neighbor_lists,
    )

    model = model.to(torch.float64).eval()
    system = System(
        types=torch.as_tensor(structure.numbers, dtype=torch.int32),
        positions=torch.as_tensor(structure.positions, dtype=torch.float64),
        cell=torch.as_tensor(structure.cell, dtype=torch.float64),
        pbc=torch.tensor(structure.pbc),
    )
    system = get_system_with_neighbor_lists(system, get_requested_neighbor_lists(model))
    with torch.no_grad(), double_precision():
        outputs = model([system], {target: ModelOutput(quantity="energy", unit="eV")})
    return float(outputs[target].block().values)


@contextmanager
def double_precision() -> Iterator[None]:
    """Set torch's default precision to float64.

    metatrain's ZBL computes the constants of a pair from integers in the default precision. In
    float32 they have errors in the eighth digit, which depend on the order of the edges.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)

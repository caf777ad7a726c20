"""Directories of the 2023 PET, against a reference that evaluates its formulas atom by atom."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional

import pet_driver
from pet_driver.checkpoints import read_checkpoint
from pet_driver.model.export import check_structure
from pet_driver.neighbors.neighbor_list import Edges, find_edges
from pet_driver.neighbors.structure import Structure

SPECIES = [1, 8]
WIDTH, HEADS, HIDDEN, NEURONS = 16, 4, 24, 12
LAYERS, ATTENTION_LAYERS = 2, 2
CUTOFF, DELTA = 3.5, 0.4

HYPERS = {
    "R_CUT": CUTOFF,
    "CUTOFF_DELTA": DELTA,
    "N_GNN_LAYERS": LAYERS,
    "N_TRANS_LAYERS": ATTENTION_LAYERS,
    "TRANSFORMER_D_MODEL": WIDTH,
    "TRANSFORMER_N_HEAD": HEADS,
    "TRANSFORMER_DIM_FEEDFORWARD": HIDDEN,
    "HEAD_N_NEURONS": NEURONS,
    "BLEND_NEIGHBOR_SPECIES": False,
    "ADD_TOKEN_FIRST": True,
    "ADD_TOKEN_SECOND": True,
    "USE_BOND_ENERGIES": True,
    "COMPRESS_MODE": "mlp",
    "USE_LENGTH": True,
}


def random_state(blended: bool) -> dict[str, torch.Tensor]:
    """Return weights with the names and shapes of the 2023 code."""
    generator = torch.Generator().manual_seed(3)
    state: dict[str, torch.Tensor] = {}

    def linear(name: str, n_in: int, n_out: int) -> None:
        for part, shape in (("weight", (n_out, n_in)), ("bias", (n_out,))):
            values = torch.randn(shape, generator=generator, dtype=torch.float64)
            state[f"model.pet_model.{name}.{part}"] = values / np.sqrt(n_in)

    def embedding(name: str) -> None:
        values = torch.randn(len(SPECIES) + 1, WIDTH, generator=generator, dtype=torch.float64)
        state[f"model.pet_model.{name}.weight"] = values

    embedding("embedding")
    for g in range(LAYERS):
        layer = f"gnn_layers.{g}"
        embedding(f"{layer}.central_embedder")
        linear(f"{layer}.r_embedding", 4, WIDTH)
        merged = 3 if blended and g > 0 else 2
        if merged == 3:
            embedding(f"{layer}.neighbor_embedder")
        linear(f"{layer}.compress.0", merged * WIDTH, WIDTH)
        linear(f"{layer}.compress.2", WIDTH, WIDTH)
        for t in range(ATTENTION_LAYERS):
            block = f"{layer}.trans.layers.{t}"
            linear(f"{block}.attention.input_linear", WIDTH, 3 * WIDTH)
            linear(f"{block}.attention.output_linear", WIDTH, WIDTH)
            linear(f"{block}.mlp.0", WIDTH, HIDDEN)
            linear(f"{block}.mlp.3", HIDDEN, WIDTH)
            for norm in ("norm_attention", "norm_mlp"):
                linear(f"{block}.{norm}", 1, WIDTH)
                name = f"model.pet_model.{block}.{norm}.weight"
                state[name] = 1.0 + 0.1 * state[name].squeeze(1)
        linear(f"{layer}.trans_layer.attention.input_linear", WIDTH, 3 * WIDTH)  # a duplicate
        for head in ("heads", "bond_heads"):
            linear(f"{head}.{g}.model.nn.0", WIDTH, NEURONS)
            linear(f"{head}.{g}.model.nn.2", NEURONS, NEURONS)
            linear(f"{head}.{g}.model.nn.4", NEURONS, 1)
    return state


class Reference:
    """The 2023 PET, with attention weighted by the cutoff factors of the keys."""

    def __init__(self, state: dict[str, torch.Tensor], blended: bool) -> None:
        self.state = {name.removeprefix("model.pet_model."): w for name, w in state.items()}
        self.blended = blended

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return functional.layer_norm(x, (WIDTH,), weight, bias)

    def attend(self, name: str, tokens: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        mapped = self.linear(f"{name}.input_linear", tokens)
        q, k, v = mapped.reshape(len(tokens), 3, HEADS, WIDTH // HEADS).permute(1, 2, 0, 3)
        alpha = torch.softmax(q @ k.transpose(1, 2) / np.sqrt(WIDTH // HEADS), dim=-1) * factors
        alpha = alpha / alpha.sum(dim=-1, keepdim=True)
        return self.linear(f"{name}.output_linear", (alpha @ v).permute(1, 0, 2).reshape(-1, WIDTH))

    def head(self, name: str, x: torch.Tensor) -> torch.Tensor:
        for index in (0, 2):
            x = functional.silu(self.linear(f"{name}.model.nn.{index}", x))
        return self.linear(f"{name}.model.nn.4", x).squeeze(-1)

    def energy(self, structure: Structure, edges: Edges) -> float:
        species = torch.tensor([SPECIES.index(z) for z in structure.numbers])
        vectors = torch.as_tensor(edges.vectors)
        lengths = torch.sqrt((vectors**2).sum(1, keepdim=True) + 1e-15)
        ramp = ((lengths[:, 0] - (CUTOFF - DELTA)) / DELTA).clamp(0, 1)
        factors = 0.5 * (1 + torch.cos(np.pi * ramp))
        messages = self.state["embedding.weight"][species[edges.neighbors]]
        total = 0.0
        for g in range(LAYERS):
            outputs = torch.zeros_like(messages)
            for atom in range(len(species)):
                mine = torch.as_tensor(edges.centers == atom)
                output, energy = self.atom(
                    g, species, edges, mine, vectors, lengths, factors, messages, atom
                )
                outputs[mine] = output
                total += float(energy)
            messages = 0.5 * (messages + outputs[edges.reverse])
        return total

    def atom(self, g, species, edges, mine, vectors, lengths, factors, messages, atom):
        layer = f"gnn_layers.{g}"
        parts = [self.linear(f"{layer}.r_embedding", torch.cat([vectors, lengths], 1)[mine])]
        if self.blended and g > 0:
            parts.append(
                self.state[f"{layer}.neighbor_embedder.weight"][species[edges.neighbors[mine]]]
            )
        parts.append(messages[mine])
        tokens = functional.silu(self.linear(f"{layer}.compress.0", torch.cat(parts, 1)))
        tokens = self.linear(f"{layer}.compress.2", tokens)
        center = self.state[f"{layer}.central_embedder.weight"][species[atom]]
        tokens = torch.cat([center[None], tokens])
        keys = torch.cat([torch.ones(1, dtype=torch.float64), factors[mine]])
        for t in range(ATTENTION_LAYERS):
            block = f"{layer}.trans.layers.{t}"
            attended = self.attend(f"{block}.attention", tokens, keys)
            tokens = self.norm(f"{block}.norm_attention", tokens + attended)
            hidden = functional.silu(self.linear(f"{block}.mlp.0", tokens))
            tokens = self.norm(f"{block}.norm_mlp", tokens + self.linear(f"{block}.mlp.3", hidden))
        bonds = (factors[mine] * self.head(f"bond_heads.{g}", tokens[1:])).sum()
        return tokens[1:], self.head(f"heads.{g}", tokens[0]) + bonds


def write_directory(folder: Path, state: dict[str, torch.Tensor], **changes) -> Path:
    folder.mkdir()
    hypers = {"ARCHITECTURAL_HYPERS": HYPERS | changes}
    (folder / "hypers_used.yaml").write_text(yaml.safe_dump(hypers))
    np.save(folder / "all_species.npy", np.array(SPECIES))
    np.save(folder / "self_contributions.npy", np.array([-13.0, -430.0]))
    torch.save(state, folder / "best_val_mae_both_model_state_dict")
    return folder


@pytest.mark.parametrize("blended", [False, True])
def test_energy_equals_the_reference(blended: bool, tmp_path: Path) -> None:
    state = random_state(blended)
    directory = write_directory(tmp_path / "model", state, BLEND_NEIGHBOR_SPECIES=blended)
    archive = tmp_path / "archive.pt"
    pet_driver.export(directory, archive, dtype="float64")
    structure = check_structure(SPECIES)
    expected = Reference(state, blended).energy(structure, find_edges(structure, CUTOFF))
    assert abs(expected) > 1.0, "the reference must not be trivial"
    composition = sum({1: -13.0, 8: -430.0}[z] for z in structure.numbers)
    found = pet_driver.load(archive).compute([structure])[0].energy
    assert abs(found - expected - composition) < 1e-9


@pytest.mark.parametrize(
    "change",
    [
        {"TRANSFORMERS_CENTRAL_SPECIFIC": True},
        {"TRANSFORMER_TYPE": "PreLN"},
        {"ADD_TOKEN_SECOND": False},
        {"USE_BOND_ENERGIES": False},
        {"RESIDUAL_FACTOR": 0.3},
    ],
)
def test_options_that_cannot_be_mapped_are_refused_by_name(change: dict, tmp_path: Path) -> None:
    directory = write_directory(tmp_path / "model", random_state(False), **change)
    with pytest.raises(pet_driver.PetDriverError, match=next(iter(change))):
        read_checkpoint(directory)


def test_early_versions_need_a_mark(tmp_path: Path) -> None:
    """Weights have the same names with and without a cutoff factor on bond energies."""
    state = {name.replace(".model.nn.", ".nn."): w for name, w in random_state(False).items()}
    directory = write_directory(tmp_path / "model", state)
    with pytest.raises(pet_driver.PetDriverError, match="write USE_LONG_RANGE: false into"):
        read_checkpoint(directory)
    marked = write_directory(tmp_path / "marked", state, USE_LONG_RANGE=False)
    later = write_directory(tmp_path / "later", random_state(False))
    found, expected = (read_checkpoint(folder).weights for folder in (marked, later))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_preferred_weights_are_those_of_the_calculator(tmp_path: Path) -> None:
    directory = write_directory(tmp_path / "model", random_state(False))
    other = {name: 2.0 * weight for name, weight in random_state(False).items()}
    torch.save(other, directory / "best_val_rmse_both_model_state_dict")
    assert (
        read_checkpoint(directory)
        .provenance["file"]
        .endswith("best_val_rmse_both_model_state_dict")
    )
    with pytest.raises(pet_driver.PetDriverError, match="the 2023 PET, which has one energy"):
        read_checkpoint(directory, "energy")


def test_missing_files_are_named(tmp_path: Path) -> None:
    directory = write_directory(tmp_path / "model", random_state(False))
    (directory / "all_species.npy").unlink()
    with pytest.raises(pet_driver.PetDriverError, match="all_species"):
        read_checkpoint(directory)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("hypers_used.yaml", "", "holds no hyper-parameters"),
        ("hypers_used.yaml", "a: [1,", "cannot be read"),
        ("hypers_used.yaml", "R_CUT: 4.0", "there is no CUTOFF_DELTA, TRANSFORMER_D_MODEL"),
        ("self_contributions.npy", "half a file", "cannot be read"),
        ("best_val_mae_both_model_state_dict", "half a file", "cannot be read"),
    ],
)
def test_damaged_files_are_named(file: str, content: str, message: str, tmp_path: Path) -> None:
    directory = write_directory(tmp_path / "model", random_state(False))
    (directory / file).write_text(content)
    with pytest.raises(pet_driver.PetDriverError, match=message) as caught:
        read_checkpoint(directory)
    assert str(directory / file) in str(caught.value)

"""The kernels agree with the network in torch and the gradients of autograd."""

import itertools
import threading

import pytest
import torch
from ase import Atoms
from torch import Tensor

from pet_driver.backends.cpu import binding
from pet_driver.errors import PetDriverError
from pet_driver.neighbors.neighbor_list import find_edges
from pet_driver.neighbors.structure import Structure
from pet_driver.network import PET, Hypers
from tests.conftest import lattice_water

SIZES = {"d_pet": 24, "d_head": 20, "d_feedforward": 36, "cutoff": 3.5}
# With d_node = d_pet there is no contraction and expansion of nodes. Heads of 6, 8 and 12 features
# do not fill a SIMD vector, and heads of 24 fill more than one.
KINDS = {
    "default": {
        "d_node": 48,
        "attention_temperature": 1.3,
        "num_heads": 3,
        "num_attention_layers": 1,
        "num_gnn_layers": 2,
    },
    "deep": {"d_node": 40, "num_heads": 2, "num_attention_layers": 3, "num_gnn_layers": 3},
    "2023": {
        "d_node": 24,
        "num_heads": 4,
        "normalization": "LayerNorm",
        "activation": "SiLU",
        "transformer_type": "PostLN",
        "featurizer_type": "residual",
    },
    "one layer": {"d_node": 32, "num_heads": 1, "num_gnn_layers": 1, "num_attention_layers": 1},
}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def random_network(dtype: torch.dtype, **hypers) -> PET:
    """Return a network with noisy weights, so that every part of it affects the results."""
    torch.manual_seed(1)
    network = PET(Hypers(**(SIZES | hypers)), 2).to(dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.requires_grad_(False)


def inputs_of(atoms: Atoms, dtype: torch.dtype) -> Inputs:
    edges = find_edges(Structure.from_ase(atoms), SIZES["cutoff"])
    generator = torch.Generator().manual_seed(2)
    factors = torch.rand(len(edges.centers), generator=generator, dtype=torch.float64)
    factors[::7] = 0.0  # edges at their cutoff
    return (
        torch.as_tensor(atoms.numbers == 8).to(torch.int64),
        torch.as_tensor(edges.vectors).to(dtype),
        factors.to(dtype),
        *(torch.as_tensor(a) for a in (edges.centers, edges.neighbors, edges.reverse)),
        torch.rand(len(atoms), generator=generator, dtype=torch.float64),
    )


def assert_agree(
    network: PET, inputs: Inputs, instruction_set: str = "", least: float = 1e-3
) -> None:
    expected = network.differentiate(*inputs)
    handle = binding.create(network, network, instruction_set)
    found = torch.ops.pet_driver.differentiate(handle, *inputs)
    for one, two in zip(found, expected, strict=True):
        size = two.abs().max() if two.numel() else torch.zeros(())
        assert two.numel() == 0 or size > least  # else the comparison would prove nothing
        assert one.dtype == two.dtype and one.shape == two.shape
        assert two.numel() == 0 or (one - two).abs().max() <= TOLERANCE[inputs[1].dtype] * size


@pytest.mark.parametrize("instruction_set", ["", "avx2"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_of_networks(kind: str, dtype: torch.dtype, instruction_set: str) -> None:
    network, inputs = random_network(dtype, **KINDS[kind]), inputs_of(lattice_water(3), dtype)
    assert_agree(network, inputs, instruction_set)


CHOICES = {
    "normalization": ["RMSNorm", "LayerNorm"],
    "activation": ["SwiGLU", "SiLU"],
    "transformer_type": ["PreLN", "PostLN"],
    "featurizer_type": ["feedforward", "residual"],
    "d_node": [24, 40],
}


@pytest.mark.parametrize("values", list(itertools.product(*CHOICES.values())))
def test_all_choices(values: tuple) -> None:
    chosen = dict(zip(CHOICES, values, strict=True))
    network = random_network(torch.float64, num_heads=2, **chosen)
    assert_agree(network, inputs_of(lattice_water(3)[:24], torch.float64))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sizes_and_threads(threads: int, dtype: torch.dtype) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        network = random_network(dtype, **KINDS["default"])
        for n_atoms in (1, 2, 3, 7, 81):
            assert_agree(network, inputs_of(lattice_water(3)[:n_atoms], dtype))
        lone = Atoms("OH", positions=[[0, 0, 0], [9, 0, 0]])
        assert_agree(network, inputs_of(lone, dtype))
        assert_agree(network, inputs_of(lone[:0], dtype))
        # more neighbours than fit a block, in a cell smaller than the cutoff
        crowd = Atoms("OH", positions=[[0, 0, 0], [0.6, 0.5, 0.4]], cell=[1.1] * 3, pbc=True)
        assert_agree(network, inputs_of(crowd, dtype))
    finally:
        torch.set_num_threads(before)


def test_nan_positions_give_nan() -> None:
    network = random_network(torch.float32, **KINDS["default"])
    inputs = inputs_of(lattice_water(3), torch.float32)
    inputs[1][5, 1] = float("nan")
    energies, by_vector, _ = torch.ops.pet_driver.differentiate(
        binding.create(network, network), *inputs
    )
    assert energies[inputs[3][5]].isnan() and by_vector[5].isnan().any()


def test_several_threads_at_once() -> None:
    network = random_network(torch.float64, **KINDS["default"])
    handle = binding.create(network, network)
    # the last two are more than one block of rows: each call has a team of threads of its own
    boxes = [lattice_water(3)[:9], lattice_water(3)[:24], lattice_water(3), lattice_water(4)]
    cases = [inputs_of(box, torch.float64) for box in boxes]
    assert sum(len(case[3]) > 1024 for case in cases) == 2
    expected = [torch.ops.pet_driver.differentiate(handle, *case) for case in cases]
    wrong: list[int] = []

    def work(index: int) -> None:
        torch.set_num_threads(2)
        for _ in range(10):
            found = torch.ops.pet_driver.differentiate(handle, *cases[index])
            if not all(torch.equal(a, b) for a, b in zip(found, expected[index], strict=True)):
                wrong.append(index)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(len(cases))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_unsupported_network() -> None:
    network = random_network(torch.float32, **KINDS["default"])
    del network.featurizer.readouts[0].edge_last
    with pytest.raises(binding.PetDriverError, match="edge_last"):
        binding.create(network, network)


@pytest.mark.parametrize("name", ["AVX2", "no-such-set"])
def test_unknown_instruction_set(name: str) -> None:
    network = random_network(torch.float32, **KINDS["default"])
    with pytest.raises(PetDriverError, match=f"support the instruction set {name}; the best is"):
        binding.create(network, network, name)

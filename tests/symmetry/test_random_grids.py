"""Random rotations: uniform, a function of seed and counter only, the same in TorchScript."""

import numpy as np
import pytest
import torch
from ase import Atoms

import pet_driver
from pet_driver.symmetry import RotationGrids, draws, parse_grid_name, rotation_grid
from pet_driver.symmetry.random_rotations import haar_rotations, mixed, uniform_numbers

ENERGY = 1e-10  # eV
FORCE = 1e-10  # eV/A
MASK = 2**64 - 1
N_DRAWS = 100_000


def splitmix64(state: int, n: int) -> list[int]:
    """Return numbers of the published generator, with Python's integers."""
    values = []
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        values.append(z ^ (z >> 31))
    return values


def test_bits_are_those_of_splitmix64() -> None:
    assert splitmix64(1234567, 2) == [6457827717110365317, 3203168211198807973]
    for seed, counter in ((0, 0), (7, 12), (10**18 - 1, 2**62)):
        start = splitmix64((splitmix64(seed, 1)[0] + counter - 0x9E3779B97F4A7C15) & MASK, 1)[0]
        expected = [bits >> 11 for bits in splitmix64(start, 5)]
        found = uniform_numbers(seed, counter, 5) * 2.0**53
        assert found.to(torch.int64).tolist() == expected
    assert mixed(torch.tensor([-1])).item() & MASK == 0xB4D055FCF2CBBD7B


@pytest.mark.parametrize("by_counter", [False, True])
def test_rotations_are_uniform(by_counter: bool) -> None:
    """Moments of R within 5 standard errors: <R_ij> = 0, <R_ij R_kl> = delta_ik delta_jl / 3."""
    if by_counter:
        n = N_DRAWS // 10
        drawn = torch.cat([haar_rotations(3, counter, 1) for counter in range(n)]).numpy()
    else:
        n = N_DRAWS
        drawn = haar_rotations(3, 0, n).numpy()
    assert np.abs(np.linalg.det(drawn) - 1).max() < 1e-14
    flat = drawn.reshape(n, 9)
    assert np.abs(flat.mean(axis=0)).max() < 5 * np.sqrt(1 / 3 / n)
    products = flat[:, :, None] * flat[:, None, :]
    assert np.abs(products.mean(axis=0) - np.eye(9) / 3).max() < 5 * np.sqrt(1 / 5 / n)
    # the angle of rotation has the density (1 - cos) / pi
    angles = np.arccos(np.clip((np.trace(drawn, axis1=1, axis2=2) - 1) / 2, -1, 1))
    ranks = np.sort((angles - np.sin(angles)) / np.pi)
    assert np.abs(ranks - np.arange(n) / n).max() < 2 / np.sqrt(n)


def test_draws_are_independent_of_each_other() -> None:
    """Rotations of consecutive counters and seeds are not correlated."""
    n = 5000
    first = [haar_rotations(0, counter, 1)[0] for counter in range(n + 1)]
    seeds = [haar_rotations(seed, 0, 1)[0] for seed in range(n + 1)]
    for sequence in (torch.stack(first).numpy(), torch.stack(seeds).numpy()):
        flat = sequence.reshape(n + 1, 9)
        correlation = flat[:-1].T @ flat[1:] / n
        assert np.abs(correlation).max() < 5 / 3 / np.sqrt(n)


@pytest.mark.parametrize("name", ["random", "random7", "random3i@12", "2i+random@5", "O+random"])
def test_torchscript_draws_equal_python(name: str, model_f64: pet_driver.Model) -> None:
    eager = RotationGrids()
    for counter in (0, 1, 10**12):
        expected = eager(name, counter)
        found = model_f64.archive.module.grid(name, counter)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
    assert torch.equal(model_f64.archive.module.grid(name)[0], eager(name, 0)[0])
    assert not torch.equal(eager(name, 0)[0], eager(name, 1)[0])
    for_other_seed, _ = eager(name.split("@")[0] + "@999", 0)
    assert not torch.equal(eager(name, 0)[0], for_other_seed)


def test_random_rotation_is_applied_to_the_whole_grid() -> None:
    rotation = rotation_grid("random@4", 9)[0][0]
    rotated, weights = rotation_grid("3i+random@4", 9)
    plain, expected = rotation_grid("3i")
    assert np.abs(rotated - rotation @ plain).max() < 1e-15
    assert np.array_equal(weights, expected)


def test_names_are_parsed() -> None:
    parsed = parse_grid_name("2i+random-each@17")
    assert (parsed.base, parsed.random, parsed.rotated, parsed.each, parsed.seed) == (
        *("2i", True, True, True, 17),
    )
    assert not parse_grid_name("2i").random
    assert [draws(name, 8) for name in ("2i", "random", "random4-each")] == [0, 1, 8]


def test_batch_shares_one_draw(water: Atoms, model_f64: pet_driver.Model) -> None:
    model = pet_driver.load(model_f64.path, grid="random2@3")
    first, second = model.evaluate([water, water])
    assert abs(first.energy - second.energy) < ENERGY
    assert model.counter == 1
    third = model.evaluate(water)
    assert model.counter == 2
    assert abs(third.energy - first.energy) > 1e-5
    again = model.evaluate(water, counter=0)
    assert model.counter == 2, "a call that names its draw does not advance the counter"
    assert abs(again.energy - first.energy) < ENERGY
    assert abs(again.raw_energy - model_f64.evaluate(water, "0").energy) < ENERGY


def test_each_draws_for_every_structure(water: Atoms, model_f64: pet_driver.Model) -> None:
    model = pet_driver.load(model_f64.path, grid="2+random-each@3")
    model.counter = 5
    found = model.evaluate([water, water, water])
    assert model.counter == 8
    for offset, one in enumerate(found):
        alone = model_f64.evaluate(water, "2+random@3", counter=5 + offset)
        assert abs(one.energy - alone.energy) < ENERGY
        assert np.abs(one.forces - alone.forces).max() < FORCE
    assert abs(found[0].energy - found[1].energy) > 1e-6


def test_random_averages_converge_to_the_invariant_energy(
    water: Atoms, model_f64: pet_driver.Model
) -> None:
    exact = model_f64.evaluate(water, "4i")
    drawn = [model_f64.evaluate(water, "random25i", counter=k) for k in range(4)]
    mean = np.mean([one.energy for one in drawn])
    error = exact.rotation_std / np.sqrt(100)
    assert error > 1e-5
    assert abs(mean - exact.energy) < 4 * error


def test_ase_calculator_advances_the_counter(water: Atoms, model_f64: pet_driver.Model) -> None:
    water.calc = pet_driver.PETCalculator(model_f64, grid="random", counter=40)
    energies = []
    for _ in range(2):
        energies.append(water.get_potential_energy())
        water.positions += 1.0
    assert water.calc.extras["counter"] == 41
    expected = [model_f64.evaluate(water, "random", counter=k).energy for k in (40, 41)]
    np.testing.assert_allclose(energies, expected, atol=1e-9)
    assert abs(energies[0] - energies[1]) > 1e-5

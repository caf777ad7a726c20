"""Cutoff factors, and their derivatives in closed form."""

import pytest
import torch

from pet_driver.network import Hypers, PairCutoffs


@pytest.mark.parametrize("function", ["Bump", "Cosine"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slopes_of_a_fixed_cutoff_are_the_derivatives(function: str, dtype: torch.dtype) -> None:
    cutoffs = PairCutoffs(Hypers(cutoff_function=function))
    edge, width = cutoffs.cutoff, cutoffs.width
    distances = torch.linspace(edge - 1.5 * width, edge, 200, dtype=dtype).requires_grad_(True)

    expected = cutoffs.factors(distances, torch.full_like(distances, edge))
    (derivatives,) = torch.autograd.grad(expected.sum(), distances)
    factors, slopes = cutoffs.fixed_factors(distances.detach())

    tolerance = 2e-5 if dtype == torch.float32 else 1e-12
    assert derivatives.abs().max() > 0.1
    torch.testing.assert_close(factors, expected.detach(), rtol=0.0, atol=tolerance)
    torch.testing.assert_close(slopes, derivatives, rtol=0.0, atol=tolerance)

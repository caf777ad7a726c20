"""The list of grids, against what pet_driver.symmetry.grids says about them."""

import pytest

from pet_driver.symmetry import tables
from pet_driver.symmetry.grids import rotation_grid
from pet_driver.symmetry.removed import GridSummary, summarize_grids


@pytest.fixture(scope="module")
def summaries() -> dict[str, GridSummary]:
    return {summary.name: summary for summary in summarize_grids()}


@pytest.mark.parametrize(
    ("name", "evaluations", "removes"),
    [
        ("0", 1, "nothing"),
        ("i", 2, "what is odd"),
        ("T", 12, "l <= 2"),
        ("O", 24, "l <= 3"),
        ("I", 60, "l <= 5"),
        ("T_d", 24, "l <= 2, even l <= 3"),
        ("O_h", 48, "l <= 3, what is odd"),
        ("I_h", 120, "l <= 5, what is odd"),
        ("random", 1, "everything, on average over the steps"),
        ("ecse", 0, "everything but what is odd"),
    ],
)
def test_groups(summaries, name: str, evaluations: int, removes: str) -> None:
    assert summaries[name] == (name, evaluations, removes)


@pytest.mark.parametrize("inversion", ["", "i"])
def test_product_grids(summaries, inversion: str) -> None:
    end, factor = (", what is odd", 2) if inversion else ("", 1)
    for order in range(2, tables.LARGEST_EULER_ORDER + 1):
        count = factor * order * (2 * order - 1) ** 2
        expected = (f"{order}{inversion}", count, f"l <= {2 * order - 2}{end}")
        assert summaries[f"{order}{inversion}"] == expected
    for degree in tables.LEBEDEV_DEGREES:
        name = f"lebedev{degree}{inversion}"
        assert summaries[name].removes == f"l <= {degree - 1}{end}"
        assert summaries[name].evaluations == len(rotation_grid(name)[1])

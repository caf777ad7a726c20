"""Result type, style and helper functions of the figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pet_driver.errors import PetDriverError

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

# Colors of Okabe and Ito, which can be distinguished with any color vision.
ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY, BLACK = "0.55", "0.0"

STYLE: dict[RcKeyType, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "savefig.dpi": 200,
    "svg.fonttype": "none",  # text, not outlines
    "pdf.fonttype": 42,
}

POINTS = 2000  # of a line; more are not visible and make large files


class NothingToDraw(PetDriverError):
    """Error: there is no suitable run for a figure."""


@dataclass(frozen=True)
class Number:
    """A result of a figure.

    Attributes:
        what: what it is.
        text: the result in words.
        values: its values; their names end with the unit.
    """

    what: str
    text: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Drawing:
    """A figure with its caption and its numbers.

    Attributes:
        name: name of its files, without a suffix.
        title: heading on the page.
        caption: text below the figure.
        figure: the figure.
        numbers: results.
        header: header of the table ``rows``.
        rows: rows of an additional table.
        notes: what could not be shown, and why.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    numbers: list[Number]
    header: Sequence[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def panels(
    n_panels: int, width: float = 3.4, height: float = 2.8, columns: int = 3, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels in rows, and the panels.

    Args:
        n_panels: number of panels.
        width: width of a panel in inches.
        height: height of a panel in inches.
        columns: largest number of panels in a row.
        sharey: whether the panels share the y axis.
    """
    columns = min(columns, n_panels)
    rows = math.ceil(n_panels / columns)
    figure = Figure(figsize=(width * columns + 0.4, height * rows + 0.2), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=sharey).ravel())
    for axis in axes[n_panels:]:
        axis.remove()
    return figure, axes[:n_panels]


def thinned(*series: np.ndarray) -> list[np.ndarray]:
    """Return at most ``POINTS`` evenly spaced points of each of some equally long series."""
    step = max(1, math.ceil(len(series[0]) / POINTS))
    return [values[::step] for values in series]


def band(axis: Axes, x: np.ndarray, y: np.ndarray, error: np.ndarray, **style: Any) -> None:
    """Draw a line with a band of its error; ``style`` are arguments of ``Axes.plot``."""
    (line,) = axis.plot(x, y, **style)
    axis.fill_between(x, y - error, y + error, alpha=0.25, color=line.get_color(), lw=0)


def binned(
    x: np.ndarray, y: np.ndarray, bins: int = 150
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average a series over consecutive intervals.

    A series with fewer than four points per interval is returned unchanged.

    Args:
        x: [F].
        y: [F].
        bins: number of intervals.

    Returns:
        The means of x and of y and the standard deviation of y in each interval, [bins] each.
    """
    if len(x) < 4 * bins:
        return x, y, np.zeros(len(y))
    parts = np.array_split(y, bins)
    return (
        np.array([part.mean() for part in np.array_split(x, bins)]),
        np.array([part.mean() for part in parts]),
        np.array([part.std() for part in parts]),
    )


def legend_below(figure: Figure) -> None:
    """Add one legend for all panels below them, with each label once."""
    entries: dict[str, Artist] = {}
    for axis in figure.axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    columns = max(1, int(figure.get_figwidth() // 2.2))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)


def plus_minus(value: float, error: float, digits: int = 2) -> str:
    """Return a value with its error as text, such as ``0.23 ± 0.02``.

    Args:
        value: the value.
        error: its error, which determines the number of decimals.
        digits: number of decimals if the error is zero or not finite.
    """
    if not np.isfinite(error) or error <= 0.0:
        return f"{value:.{digits}f}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"

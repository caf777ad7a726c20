"""Thresholds on how far the members of an ensemble are apart: warn, then stop."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pet_driver.errors import PetDriverError
from pet_driver.model.ensemble import Ensemble
from pet_driver.model.evaluator import Model


class Thresholds:
    """Watch the largest force standard deviation of any atom.

    Args:
        model: what is evaluated.
        warn: eV/A; above it there is one warning, and another each time that the largest spread
            has doubled since. ``None`` means never.
        stop: eV/A; above it there is an error. ``None`` means never.

    Raises:
        PetDriverError: a threshold for a single model, one that is not positive, or ``warn``
            above ``stop``.
    """

    def __init__(
        self, model: Model | Ensemble, warn: float | None = None, stop: float | None = None
    ) -> None:
        for name, value in (("warn", warn), ("stop", stop)):
            if value is not None:
                _check(name, value, model)
        if warn is not None and stop is not None and warn > stop:
            raise PetDriverError(f"warn {warn:g} is above stop {stop:g}: choose a smaller one")
        self.warn, self.stop = warn, stop
        self._next_warning = math.inf if warn is None else warn
        self._watches = warn is not None or stop is not None

    def check(self, force_std: np.ndarray, report: Callable[[str], None]) -> None:
        """Compare the force standard deviation [N] (eV/A) of one structure with the thresholds.

        Args:
            force_std: of every atom.
            report: receives a warning.

        Raises:
            PetDriverError: one is above ``stop``.
        """
        if len(force_std) == 0 or not self._watches:
            return
        atom = int(np.argmax(force_std))
        largest = float(force_std[atom])  # NaN where there is one
        found = f"force standard deviation of {largest:.4g} eV/A at atom {atom} (counted from 0)"
        if self.stop is not None and not largest <= self.stop:
            raise PetDriverError(
                f"{found} is above stop {self.stop:g}: the members of the ensemble disagree; "
                "look at the last frames of the trajectory, or train on structures like them"
            )
        if largest > self._next_warning:
            report(
                f"{found} is above warn {self.warn:g}: the members of the ensemble disagree; the "
                "next warning comes when it has doubled"
            )
            self._next_warning = 2.0 * largest


def _check(name: str, value: float, model: Model | Ensemble) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0.0):
        raise PetDriverError(
            f"{name} {value!r}: give a force standard deviation in eV/A, above zero"
        )
    if len(model.members) == 1:
        raise PetDriverError(
            f"{name} {value:g}: {model.path} is a single model and has no force standard deviation; name an "
            "ensemble, such as a.pt+b.pt, or leave it out"
        )

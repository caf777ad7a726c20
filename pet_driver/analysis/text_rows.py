"""Rows of text that a run appends: what remains of them after kills and restarts."""

from __future__ import annotations

import warnings

import numpy as np

from pet_driver.errors import PetDriverError


class Rows:
    """Rows as they come, each under a number that grows: the step, or the time.

    One that is damaged is left out with a warning where the file ends, or where a restarted run
    goes on before it or at it: an engine that was killed tore it, and the next wrote on behind.

    Args:
        path: of the file, for messages.
    """

    def __init__(self, path: str):
        self.path = path
        self._rows: list[list[float]] = []
        self._keys: list[float] = []
        self._torn: list[str] = []  # damaged ones since the last whole one
        self._merged = False

    def add(self, row: list[float], key: float | None) -> None:
        """Take a whole row, and its number, if it has one.

        Raises:
            PetDriverError: rows before it are damaged, and it does not repeat them.
        """
        if self._torn:
            if key is None or not self._keys or key > self._expected():
                raise PetDriverError(f"{self.path}: {self._torn[0]}")
            warnings.warn(
                f"{self.path}: a row breaks off where the run was restarted; it is left out",
                stacklevel=4,
            )
            self._torn, self._merged = [], False
        self._rows.append(row)
        if key is not None:
            self._keys.append(key)

    def damaged(self, what: str, merged: bool = False) -> None:
        """Take note of a row that cannot be read.

        Args:
            what: what is wrong with it, in words.
            merged: whether the next one is on its line, too.
        """
        self._torn.append(what)
        self._merged = merged

    def table(self) -> np.ndarray:
        """All of them [F, k].

        Raises:
            PetDriverError: there are none, or more than the last one is damaged.
        """
        if len(self._torn) > 1:
            raise PetDriverError(f"{self.path}: {self._torn[0]}")
        if self._torn:
            warnings.warn(f"{self.path}: the last row breaks off; it is left out", stacklevel=4)
        if not self._rows:
            raise PetDriverError(f"{self.path}: holds no whole row; run for longer")
        return np.array(self._rows)

    def _expected(self) -> float:
        """The number of the damaged row, or the next one where it has two."""
        last, before = self._keys[-1], self._keys[max(-2, -len(self._keys))]
        return last + (1 + self._merged) * (last - before)

"""Decks into finished runs."""

from pet_driver.runs.record import Run, find_runs, read_run

__all__ = ["Run", "find_runs", "read_run"]

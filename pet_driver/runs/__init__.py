"""Decks into runs: started with what one changes, gone on with where they stopped, recorded."""

from pet_driver.runs.execute import execute
from pet_driver.runs.record import Run, find_runs, read_run
from pet_driver.runs.settings import Settings, parse_duration

__all__ = ["Run", "Settings", "execute", "find_runs", "parse_duration", "read_run"]

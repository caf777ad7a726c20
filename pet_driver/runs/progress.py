"""How far a run is: a bar in a terminal, now and then a line in a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LINES = 10  # of a log, for a whole run


@contextmanager
def progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a run under ``name``; yields a function of the last step and the total."""
    console = Console(stderr=True, markup=False, emoji=False)
    columns = (
        TextColumn("{task.description:20s}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(name)
        shown = 0

        def advance(step: int, total: int) -> None:
            nonlocal shown
            bars.update(task, completed=step, total=total)
            if not console.is_terminal and step * LINES // total > shown:
                shown = step * LINES // total
                console.print(f"{name}: step {step} of {total}")

        yield advance

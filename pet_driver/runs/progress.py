"""Show the progress of a run: a bar in a terminal, lines in a log file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LINES = 10  # lines in a log file for a whole run


@contextmanager
def progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of a run; yields a function to call with the last step and the total."""
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

"""Print to the terminal: text as it is, progress bars, notices of compilations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console


def console(stderr: bool = False) -> Console:
    """Return a console that prints text unchanged.

    By default rich takes ``[metatrain]`` or a bracket in a path for markup and drops it. All
    commands therefore print through this console, or with ``print``.
    """
    return Console(stderr=stderr, markup=False, emoji=False)


def progress(description: str) -> Callable[..., Any]:
    """Return a function that shows a progress bar around a loop; no bar without a terminal."""
    from rich.progress import track

    terminal = console(stderr=True)
    return functools.partial(
        track,
        description=description,
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    )


@contextmanager
def compilation_progress() -> Iterator[None]:
    """Show a spinner with the elapsed time while C++ is compiled, if there is a terminal."""
    from pet_driver.backends import compiler_cache

    if not console(stderr=True).is_terminal:
        yield  # the compiler cache prints one line at the start and one at the end
        return
    before = compiler_cache.announce
    compiler_cache.announce = _spinner
    try:
        yield
    finally:
        compiler_cache.announce = before


@contextmanager
def _spinner(notice: str) -> Iterator[None]:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(stderr=True)) as bars:
        task = bars.add_task(notice, total=1)
        yield
        bars.update(task, completed=1)

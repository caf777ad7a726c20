"""Targets of a stage: one energy surface, or several that share a network.

A set of another functional (``shift``) that is trained together with the model's own sets is a
separate target: in metatrain each target has its own heads, and all other weights are shared.
"""

from __future__ import annotations

from training.settings import Settings, Stage

TARGET = "energy"


def targets(settings: Settings, stage: Stage) -> dict[str, tuple[str, ...]]:
    """Return the names of the sets of a stage, by metatrain's name of their target.

    In a stage on shifted sets only, these train the model's own energy.
    """
    sets = settings.of_stage(stage)
    own = tuple(name for name in sets if name in settings.own)
    if not own:
        return {TARGET: sets}
    return {TARGET: own} | {f"{TARGET}/{name}": (name,) for name in sets if name not in own}


def file_name(part: str, target: str) -> str:
    """Return the file name for the frames of a part (``train`` or ``held_out``) and a target."""
    _, _, name = target.partition("/")
    file = part.replace("_", "-")
    return f"{file}-{name}.xyz" if name else f"{file}.xyz"

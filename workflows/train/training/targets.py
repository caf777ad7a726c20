"""What a stage learns: one energy surface, or several with a network in common.

Sets of another functional (``shift``) beside a model's own are a target of their own: a network of
metatrain has heads for each target and everything below them in common.
"""

from __future__ import annotations

from training.settings import Settings, Stage

TARGET = "energy"


def targets(settings: Settings, stage: Stage) -> dict[str, tuple[str, ...]]:
    """Names of the sets of a stage by metatrain's name of what they teach.

    A stage on shifted sets alone teaches the model's own energy.
    """
    sets = settings.of_stage(stage)
    own = tuple(name for name in sets if name in settings.own)
    if not own:
        return {TARGET: sets}
    return {TARGET: own} | {f"{TARGET}/{name}": (name,) for name in sets if name not in own}


def file_name(part: str, target: str) -> str:
    """Of the frames of one part, ``train`` or ``held_out``, that teach a target."""
    _, _, name = target.partition("/")
    file = part.replace("_", "-")
    return f"{file}-{name}.xyz" if name else f"{file}.xyz"

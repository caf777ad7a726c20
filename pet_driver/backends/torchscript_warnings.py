"""Hide torch's warnings that TorchScript is deprecated."""

from __future__ import annotations

import warnings


def ignore_torchscript_warnings() -> None:
    """Hide the warnings of ``torch.jit`` in this process.

    Torch 2.13 gives them as DeprecationWarning, torch 2.14 as FutureWarning, which Python shows at
    every command. Users of a command or of i-PI can do nothing about them. Only programs of this
    package call this function (the command line, and the potential that i-PI loads); importing
    ``pet_driver`` does not, because torch reports all these warnings from its own modules, so that
    a filter would also hide those about a user's own use of ``torch.jit``.
    """
    for category in (FutureWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", message=r".*torch\.jit", category=category)

"""Networks compiled ahead of time by AOTInductor, for one kind of processor or GPU.

A transformer of a few dozen features consists of a thousand small operations, forward and backward,
and a GPU needs more time to launch them than to run them. AOTInductor fuses them into a few
kernels, once, when the archive is written. The archive still holds TorchScript that runs on every
machine; the compiled network is an additional entry, used on the machines it was compiled for.
"""

from pet_driver.backends.inductor.binding import attach
from pet_driver.backends.inductor.build import compile_network, conditions
from pet_driver.backends.shared_rules import PACKAGE_FILE

__all__ = ["PACKAGE_FILE", "attach", "compile_network", "conditions"]

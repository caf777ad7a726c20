"""The network compiled ahead of time by torch's own compiler, for one kind of processor or GPU.

A transformer of a few dozen features is a thousand small operations, forward and back, and a GPU
spends more time on starting them than on doing them. AOTInductor fuses them into a few kernels,
once, when the archive is written. The archive stays what it is: TorchScript that runs everywhere,
with the compiled network as one more entry of the file for the machines that it was made for.
"""

from pet_driver.backends.inductor.binding import attach
from pet_driver.backends.inductor.build import compile_network, conditions
from pet_driver.backends.shared_rules import PACKAGE_FILE

__all__ = ["PACKAGE_FILE", "attach", "compile_network", "conditions"]

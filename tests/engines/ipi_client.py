"""i-PI client that counts the calls of its model and can fail in one of them.

    python ipi_client.py MODEL TEMPLATE MODE ADDRESS [PORT] [--fail HOW CALL] [--wait]

HOW is kill (SIGKILL) or raise. With --wait, the client connects when it reads a line from its
standard input. The last line of its output is the number of calls of the model and the number of
structures evaluated.
"""

import argparse
import os
import signal

from pet_driver.engines.ipi.client import serve
from pet_driver.model.evaluator import Model, load


class CountingModel(Model):
    """Model that counts its calls and fails in one of them."""

    calls = 0
    fail: tuple[str, str] | None = None

    def compute(self, structures, *options):
        self.calls += 1
        if self.fail and self.calls == int(self.fail[1]):
            if self.fail[0] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("the model failed on purpose")
        return super().compute(structures, *options)


parser = argparse.ArgumentParser()
for name in ("model", "template", "mode", "address"):
    parser.add_argument(name)
parser.add_argument("port", type=int, nargs="?")
parser.add_argument("--fail", nargs=2)
parser.add_argument("--wait", action="store_true")
options = parser.parse_args()
model = CountingModel(load(options.model).archive)
model.fail = options.fail
if options.wait:
    input()
structures = serve(model, options.template, options.address, options.port, options.mode)
print(model.calls, structures)

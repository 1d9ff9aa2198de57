"""What an exercise calls to tell a student *what* is wrong.

A check compares an answer with the right one. When they differ it raises `Mistake`, whose text says
what was computed, what was expected, where they first differ and, where a known slip explains the
numbers, its name.

* `task` surrounds the checks of one task, `when_ready` an experiment with the student's functions.
* `close` compares numbers, `trajectory` does so step by step, `gradient` compares a gradient with
  central differences.
* `shape`, `unpack` and `unchanged` check the form of an answer, `that` any other condition.
* `seconds` measures how long a function computes, each time with other arguments.
* `inside` runs a function beside the student's code, also where a grader keeps the two apart;
  `state_dict`, `gradients` and `outputs` do so for PyTorch modules, `source` gives a function's
  text.
* `seed` makes the data of a check the same everywhere, until an instructor sets a secret.
"""

from largemodels.check.comparison import close, shape, that, unchanged, unpack
from largemodels.check.differences import gradient
from largemodels.check.mistake import Mistake
from largemodels.check.process import gradients, inside, outputs, seconds, source, state_dict
from largemodels.check.session import seed, task, when_ready
from largemodels.check.trajectory import trajectory

# Where an error is shown with its full name, the short one reads better.
Mistake.__module__ = __name__

__all__ = [
    "Mistake",
    "close",
    "gradient",
    "gradients",
    "inside",
    "outputs",
    "seconds",
    "seed",
    "shape",
    "source",
    "state_dict",
    "task",
    "that",
    "trajectory",
    "unchanged",
    "unpack",
    "when_ready",
]

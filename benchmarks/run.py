"""Measure how fast the reference is, as ratios, and how well it learns.

    make bench           scratch against PyTorch on this machine: ratios of times
    make bench FULL=1    and the learning runs with three seeds; writes benchmarks/results/

To add a benchmark, add a file to `speed/` (with `CASES`) or to `learning/` (with `RUNS`).
"""

import argparse
import os

THREADS = 2
# BLAS and PyTorch read these once, when they start: here, and in the worker processes.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(THREADS)

# ruff: noqa: E402  (the variables come first)
import learning
import memory
import speed
from report import Report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--full", action="store_true", help="learn, too, and record the results")
    full = parser.parse_args().full
    report = Report(THREADS)
    speed.measure(report)
    memory.measure(report)
    if full:
        learning.measure(report)
        report.write()


if __name__ == "__main__":  # The worker processes import this file again.
    main()

"""Measure how fast the reference is, as ratios, and how well it learns.

    make bench           scratch against PyTorch on this machine: ratios of times
    make bench FULL=1    and the learning runs with three seeds, the grading engine, and its grades
                         against those of stock nbgrader (hours); writes benchmarks/results/

To add a benchmark, add a file to `speed/` (with `CASES`) or to `learning/` (with `RUNS`).
`benchmarks/run.py --only grading` runs one part of them.
"""

import argparse
import importlib
import os

THREADS = 2
# BLAS and PyTorch read these once, when they start: here, and in the worker processes.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(THREADS)

# ruff: noqa: E402  (the variables come first)
from report import Report

QUICK = ("speed", "memory")
LONG = ("learning", "grading", "stock")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--full", action="store_true", help="the long parts, too; record it all")
    parser.add_argument("--only", choices=QUICK + LONG, help="one part; record it")
    chosen = parser.parse_args()
    parts = (chosen.only,) if chosen.only else QUICK + LONG if chosen.full else QUICK
    report = Report(THREADS)
    for part in parts:
        importlib.import_module(part).measure(report)
    if chosen.only or chosen.full:
        report.write("-and-".join(parts))


if __name__ == "__main__":  # The worker processes import this file again.
    main()

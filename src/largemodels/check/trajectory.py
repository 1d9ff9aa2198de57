"""Check what happens over several steps, and say at which step it goes wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from largemodels.check.comparison import close, compare_parts
from largemodels.check.mistake import Mistake

# How the line of a message begins that names the slip.
CAUSE = "\nLikely cause: "


def trajectory(
    actual: Sequence[Any],
    expected: Sequence[Any],
    *,
    name: str = "your result",
    rtol: float | None = None,
    atol: float | None = None,
    slips: Mapping[str, Sequence[Any]] | None = None,
    batch_size: int | None = None,
) -> None:
    """Check a sequence of states, step by step; the first wrong step is the one to look at.

    A state is what `close` compares: a number, an array, or a dictionary of them. Many slips cannot
    be told apart at one step, because their first steps are equal. So a slip is given, and
    recognised, by the whole way that it takes.

    Args:
        actual: The student's states in order, the first one after step 1. Pass copies: a state that
            a later step changes in place would be compared too late.
        expected: The right states.
        name: What a state is, as the student would write it: `"parameters"`.
        rtol: Relative tolerance, as in `close`.
        atol: Absolute tolerance, as in `close`.
        slips: Explanation → the states that this slip would give, of the form of `expected`. Write
            each explanation as the end of "Likely cause: …".
        batch_size: Number of examples, so that a sum in place of a mean is recognised.

    Raises:
        Mistake: If a state differs, or there are too few or too many of them.

    Example:
        >>> trajectory([3.0, 5.0, 5.0], [3.0, 5.0, 6.0], name="total")
        Traceback (most recent call last):
            ...
        largemodels.check.Mistake: Step 3: total is wrong.
        You computed 5, expected 6. Steps 1 and 2 are right.
    """
    if not isinstance(actual, (list, tuple, np.ndarray)):
        raise Mistake(
            f"{name} is {'None' if actual is None else f'a {type(actual).__name__}'}, "
            f"expected a list of {len(expected)} steps."
        )
    options: dict[str, Any] = {"rtol": rtol, "atol": atol}
    for step, (state, right) in enumerate(zip(actual, expected, strict=False), start=1):
        try:
            close(state, right, name=f"Step {step}: {name}", batch_size=batch_size, **options)
        except Mistake as mistake:
            text, separator, reason = str(mistake).partition(CAUSE)
            way = _cause(actual, expected, slips or {}, options)
            if way:
                separator, reason = CAUSE, way
            raise Mistake(f"{text}{_right_so_far(step)}{separator}{reason}") from None
    if len(actual) != len(expected):
        raise Mistake(
            f"{name} has the wrong number of steps.\n"
            f"You computed {len(actual)}, expected {len(expected)}."
        )


def _right_so_far(step: int) -> str:
    if step <= 2:
        return " Step 1 is right." if step == 2 else ""
    return f" Steps 1 {'and' if step == 3 else 'to'} {step - 1} are right."


def _cause(
    actual: Sequence[Any],
    expected: Sequence[Any],
    slips: Mapping[str, Sequence[Any]],
    options: Mapping[str, Any],
) -> str | None:
    """Name the slip that explains all steps together, or return None."""

    def equal(some: Sequence[Any], others: Sequence[Any]) -> bool:
        """Whether two sequences are the same way; nothing can be said about an empty one."""
        return len(some) == len(others) > 0 and all(
            _agree(one, other, options) for one, other in zip(some, others, strict=True)
        )

    for explanation, wrong in slips.items():
        if equal(actual, wrong):
            return explanation
    steps = len(actual)
    # Of two steps, one says too little: they agree with a wrong way by chance.
    if steps < 3 or steps != len(expected) or equal(expected, [expected[0]] * steps):
        return None
    if equal(actual, [expected[-1]] * steps):
        return (
            "every step holds the numbers of the last one: the same array was kept again and "
            "again, and changed in place. Keep copies."
        )
    # To the last bit, because small steps agree within any tolerance.
    if all(_agree(state, actual[0], {"rtol": 0, "atol": 0}) for state in actual):
        return "nothing changes after step 1: is the new state kept for the next step?"
    if equal(actual[1:], expected[:-1]):
        return "one step too late: each step gives what belongs to the step before."
    if equal(actual[:-1], expected[1:]):
        return "one step too early: each step gives what belongs to the step after."
    if equal(actual, expected[::-1]):
        return "the steps run backwards: the last one comes first."
    return None


def _agree(state: Any, other: Any, options: Mapping[str, Any]) -> bool:
    try:
        compare_parts(state, other, "a state", {}, options)
    except Mistake:
        return False
    return True

"""The one exception that the checks of an exercise raise."""


class Mistake(AssertionError):  # noqa: N818 - A student reads this name, and it says what happened.
    """An answer differs from what the exercise asks for.

    The text says in two or three lines what was computed, what was expected and, where a known slip
    fits, its name. A notebook shows that text and no stack trace: the trace would only lead
    through the check itself.

    Example:
        >>> raise Mistake("relu(x) is wrong.")
        Traceback (most recent call last):
            ...
        largemodels.check.Mistake: relu(x) is wrong.
    """

    def _render_traceback_(self) -> list[str]:
        # IPython asks an exception for this method, and nbgrader stores and shows what it returns.
        first, *rest = str(self).splitlines() or [""]
        return [f"\x1b[1;31m✗ {first}\x1b[0m", *rest]

"""Numbers that a page computes and its prose repeats, so that none of them can be wrong."""

from __future__ import annotations

__all__ = ["glue", "scientific"]


def glue(**values: object) -> None:
    """Keep values under their names for the prose of the page.

    A page then writes ``{glue:text}`accuracy:.1f```. The format is MyST-NB's own, so the site
    finds the values; a notebook without MyST-NB, as in Colab, runs the cell and shows nothing.

    Args:
        **values: numbers or texts, by name. NumPy's scalars become Python's.

    Example:
        >>> import numpy as np
        >>> glue(accuracy=np.float32(97.5), data_set="MNIST")
    """
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is None:
        return
    for name, value in values.items():
        # MyST-NB reads numbers from their `repr`, and NumPy's is not a number: `np.float64(1.0)`.
        plain = value.item() if hasattr(value, "item") else value
        prefix = "application/papermill.record/"
        shell.display_pub.publish(
            {prefix + "text/plain": repr(plain)},
            {"scrapbook": {"name": name, "mime_prefix": prefix}},
        )


def scientific(value: float) -> str:
    r"""Write a very small or very large number to one digit, as a book prints it.

    Args:
        value: the number.

    Example:
        >>> scientific(7.3e-11), scientific(9.6e5)
        ('7\xa0×\xa010⁻¹¹', '1\xa0×\xa010⁶')
    """
    digit, exponent = f"{value:.0e}".split("e")
    superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digit}\u00a0×\u00a010{superscript}"

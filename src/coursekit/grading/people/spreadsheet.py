"""CSV that a spreadsheet opens without harm.

A cell that a spreadsheet would run as a formula (a name such as `=1+1`) gets an apostrophe in
front, as OWASP advises (https://owasp.org/www-community/attacks/CSV_Injection): whoever opens the
file must not run what a student typed into a profile. Quotation marks do not help against that: a
spreadsheet that expects semicolons begins a cell at each of them, inside quotation marks too.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["neutral", "number", "to_csv"]


_START = "=+\\-@\uff1d\uff0b\uff0d\uff20"
# What may begin inside of a text, for a spreadsheet that cuts it elsewhere; numbers may.
_INSIDE = re.compile(
    rf"([;,|\t\r\n][^\S\t\r\n]*)(?=[{_START}])(?![-+]?[\d.]+(?:e[-+]?\d+)?[\])]*\s*(?:[;,|\t\r\n]|$))"
)


def neutral(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would run; leave numbers alone.

    Control characters but for tabs and line breaks become a mark for something unreadable.
    """
    text = "".join(_mark(character) for character in text)
    start = unicodedata.normalize("NFKC", text.lstrip(" "))[:1]
    if start in set("=+-@\t\r\n") and len(text.strip(" ")) > 1 and not _is_number(text):
        text = "'" + text
    return _INSIDE.sub(r"\1'", text)


def _mark(character: str) -> str:
    unreadable = unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\r\n"
    return "\N{REPLACEMENT CHARACTER}" if unreadable else character


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def number(value: float) -> str:
    """A number with at most four digits after the point, and no zeros at the end."""
    return f"{round(value, 4):.12g}"


def to_csv(rows: Iterable[Sequence[str]], delimiter: str = ",") -> str:
    """CSV as RFC 4180 has it, with all formulas made harmless."""
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows([neutral(text) for text in row] for row in rows)
    return file.getvalue()

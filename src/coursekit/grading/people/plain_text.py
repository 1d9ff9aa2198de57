"""Text of a student's on one line of a terminal or of a table, where none of it acts."""

__all__ = ["for_terminal", "printable", "shortened"]


def printable(text: str) -> str:
    """Text without control characters, line breaks and characters that turn the order of others."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def for_terminal(text: str) -> str:
    """Text that is printed as it is: no escape sequence, and no markup of `rich`."""
    from rich.markup import escape

    return escape(printable(text))


def shortened(text: str, characters: int) -> str:
    """The beginning of a text that is longer than this."""
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"

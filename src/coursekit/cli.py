"""The entry of the `course` command."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run `course`; an error that the user can mend is one sentence and exit status 1."""
    try:
        import typer  # noqa: F401
    except ModuleNotFoundError:
        sys.exit(
            "course: the command needs the extra `grading`; "
            "run `python -m pip install -e '.[book,grading]'` in your clone."
        )
    from coursekit import commands

    sys.exit(commands.run())

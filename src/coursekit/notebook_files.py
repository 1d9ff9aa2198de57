"""Notebooks as files: read from MyST Markdown, given stable ids, written whole or not at all."""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from coursekit.errors import CourseError

__all__ = ["cell_name", "has_kernel", "read_myst", "read_notebook", "set_ids", "to_text", "write"]

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def has_kernel(page: Path) -> bool:
    """Tell whether a Markdown file is a notebook: its header names a kernel."""
    header = re.match(r"---\n(.*?)\n---\n", _text(page), re.DOTALL)
    return bool(header and re.search(r"^kernelspec:", header[1], re.MULTILINE))


def read_myst(file: Path, name: str) -> NotebookNode:
    """Read a MyST notebook.

    Args:
        file: The Markdown file.
        name: How messages name it.

    Raises:
        CourseError: The file is no MyST notebook.
    """
    import jupytext

    text = _text(file, name)
    if not has_kernel(file):
        raise CourseError(
            f"{name}: not a MyST notebook, for its header names no `kernelspec`; "
            "begin the file as the other pages begin."
        )
    try:
        notebook = jupytext.reads(text, "md:myst")
    except Exception as error:  # jupytext raises what its YAML and JSON parsers raise.
        reason = " ".join(str(error).split())
        raise CourseError(
            f"{name}: not readable as a MyST notebook ({reason}); mend that place."
        ) from error
    notebook.metadata = nbformat.from_dict(_METADATA)
    notebook.nbformat_minor = 5
    return notebook


def read_notebook(file: Path, name: str) -> NotebookNode:
    """Read an `.ipynb` file and validate it.

    Raises:
        CourseError: The file is missing or no notebook.
    """
    try:
        notebook = nbformat.reads(_text(file, name), as_version=4)
        nbformat.validate(notebook)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0][:120]
        raise CourseError(f"{name}: not a notebook ({reason}); generate the file again.") from error
    return notebook


def set_ids(notebook: NotebookNode) -> None:
    """Give every cell an id that an edit elsewhere does not change.

    A graded or solution cell takes its `grade_id`, any other cell a hash of its source.
    """
    taken: set[str] = set()
    for cell in notebook.cells:
        wanted = cell.metadata.get("nbgrader", {}).get("grade_id") or (
            cell.id if "setup" in cell.metadata.get("tags", []) else _digest(cell.source)
        )
        identifier = wanted = re.sub(r"[^\w-]", "-", wanted, flags=re.ASCII)[:56]
        count = 1
        while identifier in taken:
            count += 1
            identifier = f"{wanted}-{count}"
        taken.add(identifier)
        cell.id = identifier


def cell_name(cell: NotebookNode, index: int) -> str:
    """Name a cell as messages do: by its `grade_id`, else by number and first line."""
    grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
    first = cell.source.strip().splitlines()[:1]
    return f"`{grade_id}`" if grade_id else f"{index + 1} ({first[0][:40] if first else 'empty'!r})"


def to_text(notebook: NotebookNode) -> str:
    """Print a notebook as nbformat does, always with the same bytes."""
    return nbformat.writes(notebook) + "\n"


def write(files: Mapping[Path, str] | Iterable[tuple[Path, str]]) -> None:
    """Write files, each whole or not at all; an unchanged file is not touched.

    Raises:
        CourseError: A folder or file cannot be written.
    """
    for path, text in dict(files).items():
        try:
            if path.is_file() and path.read_text(encoding="utf-8") == text:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                temporary.write_text(text, encoding="utf-8", newline="\n")
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise CourseError(
                f"{path}: cannot be written ({error.strerror}); mend that and run it again."
            ) from error


def _text(file: Path, name: str | None = None) -> str:
    """Read a text file, or say in one sentence why not."""
    name = name or str(file)
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise CourseError(f"{name}: no such file.") from error
    except UnicodeDecodeError as error:
        raise CourseError(f"{name}: not UTF-8 (byte {error.start}); save it as UTF-8.") from error
    except OSError as error:
        raise CourseError(f"{name}: cannot be read ({error.strerror}).") from error


def _digest(text: str) -> str:
    return "cell-" + hashlib.sha256(text.encode()).hexdigest()[:8]

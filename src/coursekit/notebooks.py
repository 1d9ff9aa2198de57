"""Pages of the book as notebooks, for Colab and for download: `course notebooks`."""

import copy
import difflib
import json
from collections.abc import Sequence
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from coursekit.errors import CourseError
from coursekit.markdown import UnknownSyntaxError, caption, to_markdown
from coursekit.notebook_files import cell_name, has_kernel, read_myst, read_notebook, set_ids
from coursekit.references import Book, PageLinks
from coursekit.repository import Repository
from coursekit.setup_cell import setup_cell

__all__ = [
    "CHECK_MARKS",
    "find_pages",
    "page_notebook",
    "plain_markdown",
    "require_executed",
]

COMMAND = "course notebooks"
# How nbval is told to compare the output of a cell: a tag, or a comment in the cell.
CHECK_MARKS = ("nbval-check-output", "NBVAL_CHECK_OUTPUT")


def find_pages(repository: Repository, names: Sequence[str] = ()) -> list[Path]:
    """Find pages that are notebooks, by path or name; all of them when no name is given.

    Raises:
        CourseError: A name fits no page, or a page without code.
    """
    pages = Book(repository).pages
    if not names:
        return [page for page in pages if has_kernel(page)]
    return list(dict.fromkeys(_choose(repository, pages, name) for name in names))


def page_notebook(book: Book, page: Path, *, executed: bool = False) -> NotebookNode:
    """Make the notebook of a page.

    Args:
        book: All pages, which this one may refer to.
        page: The Markdown file.
        executed: Take outputs and results from the notebook that `make book` executed.

    Raises:
        CourseError: The page is malformed, or its executed notebook is missing or older.
    """
    repository = book.repository
    name = repository.name(page)
    notebook = read_myst(page, name)
    values: dict[str, str] = {}
    if executed:
        values = _take_outputs(repository, page, notebook)
    plain_markdown(notebook, PageLinks(book, page, values), name)
    notebook.cells.insert(0, setup_cell(name, COMMAND, repository.address))
    set_ids(notebook)
    return notebook


def plain_markdown(notebook: NotebookNode, links: PageLinks, name: str) -> None:
    """Turn all MyST of a notebook into Markdown that reads well in any notebook."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        try:
            cell.source = to_markdown(cell.source, links)
        except UnknownSyntaxError as error:
            raise CourseError(
                f"{name}, cell {cell_name(cell, index)}: {error} has no spelling for notebooks "
                "yet; add one to src/coursekit/markdown.py."
            ) from error
    cells = []
    for cell in notebook.cells:
        cells += [cell] if cell.source.strip() else []
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if figure.get("caption"):
            # The site puts the caption under the output; a notebook needs a cell for it.
            text = caption(figure["caption"], figure.get("name", ""), links)
            cells.append(new_markdown_cell(text))
    notebook.cells = cells


def require_executed(notebook: NotebookNode, name: str) -> None:
    """Refuse a reference that nbval would not compare.

    nbval compares no cell without an execution count, and none that is not marked.

    Raises:
        CourseError: A code cell was not executed, one ended with an error, or none is marked.
    """
    code = [
        (index, cell)
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and "setup" not in cell.metadata.get("tags", [])
    ]
    for index, cell in code:
        where = f"{name}, cell {cell_name(cell, index)}"
        if cell.execution_count is None:
            raise CourseError(f"{where}: never executed, so nbval compares nothing; run it.")
        if any(output.output_type == "error" for output in cell.outputs):
            raise CourseError(f"{where}: its stored output is an error; mend the cell.")
    if not any(is_checked(cell) for _, cell in code):
        raise CourseError(
            f"{name}: no code cell has the tag `{CHECK_MARKS[0]}`, so nbval compares nothing; "
            "tag a cell that prints a result."
        )


def is_checked(cell: NotebookNode) -> bool:
    """Whether nbval compares the output of a cell."""
    return CHECK_MARKS[0] in cell.metadata.get("tags", []) or CHECK_MARKS[1] in cell.source


def _take_outputs(repository: Repository, page: Path, notebook: NotebookNode) -> dict[str, str]:
    """Copy outputs from the executed notebook of a page; its results by name."""
    name = repository.name(page)
    file = repository.executed_pages / page.relative_to(repository.book).with_suffix(".ipynb")
    if not file.is_file():
        raise CourseError(
            f"{name}: not executed yet ({repository.name(file)} is missing); run `make book`."
        )
    executed = read_notebook(file, repository.name(file))
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    others = [cell for cell in executed.cells if cell.cell_type == "code"]
    if [_code(cell) for cell in cells] != [_code(cell) for cell in others]:
        raise CourseError(f"{name}: its code changed after it was executed; run `make book`.")
    for cell, other in zip(cells, others, strict=True):
        cell.execution_count = other.execution_count
        cell.outputs = copy.deepcopy(other.outputs)
    # MyST-NB keeps what `glue` stored for the prose beside the notebook, not in it.
    stored = file.with_suffix(".glue.json")
    if not stored.is_file():
        return {}
    return {
        key: output["data"].get("text/plain", "")
        for key, output in json.loads(stored.read_text(encoding="utf-8")).items()
    }


def _code(cell: NotebookNode) -> str:
    return cell.source.strip()


def _choose(repository: Repository, pages: list[Path], name: str) -> Path:
    """Find the page that a user means: a path from here, the root or the book, or its stem."""
    wanted = Path(name).with_suffix(".md")
    for base in (Path.cwd(), repository.root, repository.book):
        if (path := (base / wanted).resolve()) in pages:
            break
    else:
        fitting = [
            page for page in pages if page.name == wanted.name and wanted.name == str(wanted)
        ]
        if len(fitting) != 1:
            names = [repository.name(page) for page in pages]
            near = difflib.get_close_matches(f"book/{wanted}", names, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise CourseError(f"{name}: no such page in book/{hint}")
        path = fitting[0]
    if not has_kernel(path):
        raise CourseError(
            f"{repository.name(path)}: a page without code has no notebook; leave it out."
        )
    return path

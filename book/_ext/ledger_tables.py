"""Tables made from the ledger (`book/claims`) while the site is built: no copy can grow stale.

* ``{ledger-mistakes}``: what the documents say, what is true, and where it is proved.
* ``{ledger-topics}``: what each section of the documents is about, and where the book shows it.
* ``{ledger-count}``: how much of it is done, and how much is open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from coursekit.ledger import Ids, Ledger, Row
from coursekit.references import Book
from coursekit.repository import Repository

PARTS = {
    "concepts": "Concepts",
    "math": "Mathematics",
    "algorithms": "Algorithms",
    "training": "Training",
    "case-studies": "Case studies",
    "startup-strategy": "Start-up strategy",
    "projects": "Projects",
    "tools": "Tools",
    "outlook": "Outlook",
}


class LedgerDirective(SphinxDirective):
    """What the three tables share: they read the ledger and write MyST."""

    def run(self) -> list[nodes.Node]:
        """Write the table."""
        book = Path(self.env.srcdir)
        folder = book / "claims"
        self.ledger = Ledger.read(folder)
        self.titles = {
            page.relative_to(book.resolve()).with_suffix("").as_posix(): title
            for page, title in Book(Repository(book.resolve().parent)).titles.items()
        }
        # A row may come with a new file, and a page with a new title: read again every time.
        self.env.note_reread()
        return self.parse_text_to_nodes("\n".join(self.lines()), allow_section_headings=True)

    def lines(self) -> Iterator[str]:
        """The lines of the table, in MyST."""
        raise NotImplementedError

    def links(self, row: Row) -> str:
        """Links to every place where the book deals with a row."""
        return ", ".join(
            f"{{ref}}`{self.titles.get(page, page)} <{label}>`" for page, label in row.places
        )


class Mistakes(LedgerDirective):
    """What the documents say, what is true, and where it is proved."""

    def lines(self) -> Iterator[str]:
        """One entry for each mistake, in the order of the pages."""
        for page, rows in groupby(by_page(self.ledger.mistakes), key=lambda row: row.page):
            title = self.titles.get(page, as_title(page))
            yield from ["", f"## {'On this page' if page == self.env.docname else title}", ""]
            for row in rows:
                where = f"Proved: {self.links(row)}" if row.proof == "cell" else self.links(row)
                if row.is_open:
                    where = "*Open: not on its page yet.*"
                elif row.cites:
                    where += " " + f"{{cite:p}}`{','.join(row.cites)}`"
                yield f"**{row.id}** · {', '.join(row.source)}: {row.claim}"
                yield f": {row.truth} {where}"
                yield ""


class Topics(LedgerDirective):
    """What each section of the documents is about, and where the book shows it."""

    def lines(self) -> Iterator[str]:
        """A table for each document, in the order of its sections."""
        ids: Ids = self.ledger.ids
        for sign, words in ids.documents.items():
            sections: dict[str, list[Row]] = {}
            for row in self.ledger.topics:
                for source in row.source:
                    document, _, section = source.partition(" ")
                    if document == sign:
                        sections.setdefault(section, []).append(row)
            yield from ["", f"## {sign}", "", f"{words}.", ""]
            yield from ["```{list-table}", ":header-rows: 1", ":widths: 24 76", ""]
            yield from ["* - Section", "  - Topic, and where the book shows it"]
            for section in sorted(sections, key=section_order):
                topics = [
                    f"{row.topic}: {self.links(row) if not row.is_open else '*open*'}"
                    for row in sections[section]
                ]
                yield f"* - {section}"
                yield f"  - {'; '.join(topics)}."
            yield from ["```", ""]


class Count(LedgerDirective):
    """How much is done, and how much is open."""

    def lines(self) -> Iterator[str]:
        """A table with a row for each part of the book."""
        ids = self.ledger.ids
        topics = {row.id for row in self.ledger.topics if not row.is_open}
        closed = [row for row in self.ledger.mistakes if not row.is_open]
        proved = {row.id for row in closed if row.proof == "cell"}
        cited = {row.id for row in closed if row.proof == "citation"}
        yield from ["```{list-table}", ":header-rows: 1", ":widths: 40 20 20 20", ""]
        yield from ["* - Part", "  - Topics", "  - shown", "  - open"]
        for part, names in ids.topics.items():
            shown = len(topics & set(names))
            yield from row_of(PARTS.get(part, part), len(names), shown, len(names) - shown)
        total = len(ids.part_of)
        yield from row_of("**All parts**", total, len(topics), total - len(topics))
        yield from ["```", ""]
        number = len(ids.mistakes)
        yield (
            f"Of the {number} mistakes that we found in the documents, {len(proved)} are disproved "
            f"by a cell that runs when the book is built, {len(cited)} by a citation, and "
            f"**{number - len(proved) - len(cited)} are still open**."
        )


def row_of(*cells: object) -> list[str]:
    """A row of a list-table."""
    return [f"* - {cells[0]}", *(f"  - {cell}" for cell in cells[1:])]


def by_page(rows: Iterable[Row]) -> list[Row]:
    """Rows in the order of the parts, page after page."""
    parts = [part.replace("-", "_") for part in PARTS]

    def order(row: Row) -> tuple[int, str]:
        part = row.page.split("/")[0]
        return (parts.index(part) if part in parts else len(parts), row.page)

    return sorted(rows, key=order)


def as_title(page: str) -> str:
    """A title for a page that is not written yet."""
    return page.rsplit("/", 1)[-1].replace("_", " ").capitalize()


def section_order(section: str) -> list[tuple[int, int, str]]:
    """The key that puts section 10 behind section 9, and names behind numbers."""
    return [
        (0, int(word), "") if word.isdigit() else (1, 0, word)
        for word in re.findall(r"\d+|[^\d.\s§()]+", section)
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Give Sphinx the three directives."""
    app.add_directive("ledger-mistakes", Mistakes)
    app.add_directive("ledger-topics", Topics)
    app.add_directive("ledger-count", Count)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

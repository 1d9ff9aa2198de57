"""The ledger of the book: where each topic and each mistake of the source documents is dealt with.

Each page has a file of its own, `book/claims/<page>.yml`, so that no two writers meet in one::

    covers:                        # topics of the documents
      S0-4.1.3-mse:
        topic: Mean squared error
        source: [S0 §4.1.3, S3 §Math]
        at: losses-mse             # a label on this page
        shown: [derivation, figure, exercise]
        also: [math/worked_examples#we-line]         # optional: other places
    corrects:                      # mistakes of the documents
      E15:
        source: [S0 §4.1.3]
        claim: What the documents say, in English.
        truth: What is true, in our own words.
        proof: cell                # a cell with the tag `proves-E15`, or: citation
        cites: [bishop2006]        # works cited on the page; required where the proof is a citation
        at: erratum-e15

A row that says `status: open` in place of `at` (and `shown`) promises what its page does not keep
yet. `book/claims/ids.yml` lists all topics and mistakes, and the parts of the book in hand: every
topic of these parts, and every mistake that touches one, must have a row.

The functions below each return sentences, one for each thing that is wrong; an empty list is good.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from coursekit.errors import CourseError
from coursekit.notebook_files import has_kernel, read_myst, read_notebook

__all__ = [
    "SHOWN",
    "Ids",
    "Ledger",
    "Row",
    "dead_anchors",
    "differences",
    "forgotten",
    "missing",
    "uncited",
    "unproved",
]

#: How a page may show a topic.
SHOWN = (
    "demonstration",
    "derivation",
    "figure",
    "exercise",
    "calculator",
    "template",
    "citation",
)

_FIELDS = {
    "covers": {"topic", "source", "at", "shown", "also", "cites", "status"},
    "corrects": {"source", "claim", "truth", "proof", "cites", "at", "also", "status"},
}
_PROOFS = ("cell", "citation")


@dataclass(frozen=True)
class Row:
    """One topic or one mistake of the documents, and what the book makes of it.

    Args:
        id: E.g. `S0-4.1.3-mse` or `E15`.
        page: The page that deals with it, e.g. `math/losses`.
        source: Where the documents speak of it, e.g. `S0 §4.1.3`.
        topic: A topic's title; empty for a mistake.
        claim: What the documents say; empty for a topic.
        truth: What is true; empty for a topic.
        proof: `cell` or `citation`; empty for a topic.
        at: The label on the page; empty while the row is open.
        shown: How a topic is shown, in words of `SHOWN`.
        also: Other places, as `page#label`.
        cites: Keys of `references.bib` that stand for it.
    """

    id: str
    page: str
    source: tuple[str, ...]
    topic: str = ""
    claim: str = ""
    truth: str = ""
    proof: str = ""
    at: str = ""
    shown: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the page still owes it."""
        return not self.at

    @property
    def is_mistake(self) -> bool:
        """Whether this is a mistake of the documents, and not a topic."""
        return not self.topic

    @property
    def tag(self) -> str:
        """The tag of the cell that proves it."""
        return f"proves-{self.id}"

    @property
    def places(self) -> list[tuple[str, str]]:
        """Every page and label where the book deals with it."""
        others = [tuple(place.split("#", 1)) for place in self.also]
        return [(self.page, self.at), *others] if self.at else []  # type: ignore[list-item]


@dataclass(frozen=True)
class Ids:
    """All topics and mistakes of the documents.

    Args:
        documents: What each document is, by its sign.
        topics: The ids of the topics, by part of the book.
        mistakes: The parts that each mistake touches, by its id.
        in_hand: The parts whose topics and mistakes must have rows.
    """

    documents: Mapping[str, str]
    topics: Mapping[str, list[str]]
    mistakes: Mapping[str, list[str]]
    in_hand: tuple[str, ...]

    @classmethod
    def read(cls, file: Path) -> "Ids":
        """Read `ids.yml`.

        Raises:
            CourseError: The file is missing, or is not what it should be.
        """
        known = _read_yaml(file)
        try:
            return cls(
                dict(known["documents"]),
                {part: list(ids) for part, ids in known["topics"].items()},
                {name: list(parts) for name, parts in known["mistakes"].items()},
                tuple(known["in_hand"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CourseError(
                f"{file}: {error} is missing or malformed; restore the file with git."
            ) from error

    @cached_property
    def part_of(self) -> dict[str, str]:
        """The part of each topic."""
        return {name: part for part, ids in self.topics.items() for name in ids}

    @cached_property
    def required(self) -> list[str]:
        """Every topic and mistake that must have a row."""
        topics = [name for part in self.in_hand for name in self.topics[part]]
        mistakes = [name for name, parts in self.mistakes.items() if set(parts) & set(self.in_hand)]
        return topics + mistakes


@dataclass(frozen=True)
class Ledger:
    """All rows, in the order of the files, and the list of what there should be."""

    rows: tuple[Row, ...]
    ids: Ids

    @classmethod
    def read(cls, folder: Path) -> "Ledger":
        """Read the folder `book/claims`.

        Raises:
            CourseError: A file is no YAML, or a row is malformed.
        """
        rows: list[Row] = []
        for file in sorted(folder.rglob("*.yml")):
            page = file.relative_to(folder).with_suffix("").as_posix()
            if page == "ids":
                continue
            content = _read_yaml(file)
            if unknown := set(content) - set(_FIELDS):
                raise CourseError(
                    f"{file}: `{unknown.pop()}` is neither `covers` nor `corrects`; rename it."
                )
            for group in _FIELDS:
                for name, fields in (content.get(group) or {}).items():
                    rows.append(_row(file, page, group, str(name), fields))
        return cls(tuple(rows), Ids.read(folder / "ids.yml"))

    @property
    def topics(self) -> list[Row]:
        """The rows of topics."""
        return [row for row in self.rows if not row.is_mistake]

    @property
    def mistakes(self) -> list[Row]:
        """The rows of mistakes, by number."""
        found = [row for row in self.rows if row.is_mistake]
        return sorted(found, key=lambda row: int(row.id[1:]) if row.id[1:].isdigit() else 0)


def missing(ledger: Ledger) -> list[str]:
    """Ids that have no row, more than one, or are unknown."""
    counts = Counter(row.id for row in ledger.rows)
    known = set(ledger.ids.part_of) | set(ledger.ids.mistakes)
    return [
        *(f"{name}: no row in book/claims/" for name in ledger.ids.required if not counts[name]),
        *(f"{name}: {count} rows; keep one" for name, count in counts.items() if count > 1),
        *(f"{name}: not in book/claims/ids.yml" for name in counts if name not in known),
    ]


def differences(
    ids: Ids, coverage: Iterable[Mapping[str, Any]], errata: Iterable[Any]
) -> list[str]:
    """Differences between `ids.yml` and the lists that it was made from.

    Args:
        ids: The recorded lists.
        coverage: The topics: mappings with `id`, `part` and, where known, `errata`.
        errata: The mistakes: mappings with `id`.
    """
    parts = {topic["id"]: topic["part"] for topic in coverage}
    touched: dict[str, set[str]] = {mistake["id"]: set() for mistake in errata}
    for topic in coverage:
        for name in topic.get("errata", []):
            touched.setdefault(name, set()).add(topic["part"])
    recorded: dict[str, Any] = dict(ids.part_of) | {k: set(v) for k, v in ids.mistakes.items()}
    found: dict[str, Any] = dict(parts) | touched
    return [
        f"{name}: recorded {recorded.get(name)}, listed {found.get(name)}"
        for name in sorted(set(recorded) | set(found))
        if recorded.get(name) != found.get(name)
    ]


def dead_anchors(ledger: Ledger, site: Path) -> list[str]:
    """Labels that the built page does not have.

    Args:
        ledger: The rows.
        site: The folder of the built site.
    """
    anchors: dict[str, set[str]] = {}
    found = []
    for row in ledger.rows:
        for page, label in row.places:
            if page not in anchors:
                file = site / f"{page}.html"
                text = file.read_text(encoding="utf-8") if file.is_file() else ""
                anchors[page] = set(re.findall(r'\bid="([^"]+)"', text))
            if label not in anchors[page]:
                found.append(f"{row.id}: {page}.html has no place `{label}`")
    return found


def unproved(ledger: Ledger, book: Path, executed: Path) -> list[str]:
    """Proofs by a cell that is not there, asserts nothing, or was not executed as it stands.

    Args:
        ledger: The rows.
        book: The folder of the pages.
        executed: The folder of the notebooks that the build executed.
    """
    found = []
    for row in ledger.mistakes:
        if row.is_open or row.proof != "cell":
            continue
        written = _tagged(book / f"{row.page}.md", row.tag)
        if not written:
            found.append(f"{row.id}: no cell of {row.page}.md has the tag `{row.tag}`")
            continue
        if not any(_asserts(cell.source) for cell in written):
            found.append(f"{row.id}: no cell `{row.tag}` of {row.page}.md asserts anything")
        run = _tagged(executed / f"{row.page}.ipynb", row.tag)
        if [cell.source.strip() for cell in run] != [cell.source.strip() for cell in written]:
            found.append(f"{row.id}: {row.page}.md was not executed as it stands; build the book")
        elif any(cell.execution_count is None for cell in run):
            found.append(f"{row.id}: the cell `{row.tag}` of {row.page}.md was not executed")
        elif any(output.output_type == "error" for cell in run for output in cell.outputs):
            found.append(f"{row.id}: the cell `{row.tag}` of {row.page}.md ends with an error")
    return found


def uncited(ledger: Ledger, book: Path, works: Iterable[str]) -> list[str]:
    """Works that are not in `references.bib`, or that their page does not cite.

    Args:
        ledger: The rows.
        book: The folder of the pages.
        works: The keys of `references.bib`.
    """
    known = set(works)
    found = []
    for row in ledger.rows:
        if row.is_open:
            continue
        if not row.cites and (row.proof == "citation" or row.shown == ("citation",)):
            found.append(f"{row.id}: rests on a citation and names none in `cites`")
        page = book / f"{row.page}.md"
        cited = _cited(page.read_text(encoding="utf-8")) if page.is_file() else set()
        for key in row.cites:
            if key not in known:
                found.append(f"{row.id}: `{key}` is not in references.bib")
            elif key not in cited:
                found.append(f"{row.id}: {row.page}.md does not cite `{key}`")
    return found


def forgotten(ledger: Ledger, book: Path) -> list[str]:
    """Proofs on pages that the ledger does not know, or still calls open.

    Args:
        ledger: The rows.
        book: The folder of the pages.
    """
    closed = {(row.page, row.id) for row in ledger.mistakes if not row.is_open}
    found = []
    for file in sorted(book.rglob("*.md")):
        page = file.relative_to(book).with_suffix("").as_posix()
        if page.startswith("_"):
            continue
        proved = set(re.findall(r"\bproves-(E\d+)\b", file.read_text(encoding="utf-8")))
        found += [
            f"{name}: {page}.md proves it, and book/claims/{page}.yml has no closed row for it"
            for name in sorted(proved)
            if (page, name) not in closed
        ]
    return found


def _row(file: Path, page: str, group: str, name: str, fields: Any) -> Row:
    """Make a row of what stands in a file, or say what is wrong with it."""

    def wrong(what: str) -> CourseError:
        return CourseError(f"{file}: {name}: {what}.")

    if not isinstance(fields, dict):
        raise wrong("it has no fields; see src/coursekit/ledger.py for the format")
    if unknown := set(fields) - _FIELDS[group]:
        raise wrong(f"`{unknown.pop()}` is no field of `{group}`; remove it")
    for field in ("source", "shown", "also", "cites"):
        if not isinstance(fields.get(field, []), list):
            raise wrong(f"`{field}` must be a list; write `{field}: [{fields[field]}]`")
    needed = ["topic", "source"] if group == "covers" else ["source", "claim", "truth", "proof"]
    if lacking := [field for field in needed if not fields.get(field)]:
        raise wrong(f"`{lacking[0]}` is missing; add it")
    status, at = fields.get("status", ""), str(fields.get("at", ""))
    if status not in ("", "open") or bool(at) == bool(status):
        raise wrong("give it either `at` (a label) or `status: open`")
    shown = [str(word) for word in fields.get("shown", [])]
    if group == "covers" and bool(shown) != bool(at):
        raise wrong("`at` and `shown` go together; give both, or `status: open`")
    if strange := [word for word in shown if word not in SHOWN]:
        raise wrong(f"`{strange[0]}` is no way to show a topic; choose from {', '.join(SHOWN)}")
    if group == "corrects" and fields["proof"] not in _PROOFS:
        raise wrong(f"`proof` (={fields['proof']}) must be one of {', '.join(_PROOFS)}")
    if loose := [place for place in fields.get("also", []) if "#" not in str(place)]:
        raise wrong(f"`also` names {loose[0]}, which is no place; write `page#label`")
    return Row(
        name,
        page,
        tuple(map(str, fields["source"])),
        topic=str(fields.get("topic", "")),
        claim=str(fields.get("claim", "")),
        truth=str(fields.get("truth", "")),
        proof=str(fields.get("proof", "")),
        at=at,
        shown=tuple(shown),
        also=tuple(map(str, fields.get("also", []))),
        cites=tuple(map(str, fields.get("cites", []))),
    )


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"{file}: no such file; restore it with git.") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise CourseError(f"{file}: not YAML ({reason}); mend that line.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise CourseError(f"{file}: not a mapping; see src/coursekit/ledger.py for the format.")
    return content


def _tagged(file: Path, tag: str) -> list[Any]:
    """The code cells of a page or notebook that have a tag."""
    if not file.is_file() or (file.suffix == ".md" and not has_kernel(file)):
        return []
    read = read_myst if file.suffix == ".md" else read_notebook
    return [
        cell
        for cell in read(file, file.name).cells
        if cell.cell_type == "code" and tag in cell.metadata.get("tags", [])
    ]


def _asserts(source: str) -> bool:
    """Whether a cell asserts something that could be false, and outside of a function."""
    # What is magic to IPython is no Python: leave such lines out.
    lines = [line for line in source.split("\n") if not re.match(r"\s*[%!]", line)]
    try:
        tree = ast.parse("\n".join(lines))
    except SyntaxError:
        return False

    def look(nodes: Iterable[ast.AST]) -> bool:
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
                continue  # Who knows whether it is called.
            if isinstance(node, ast.Assert):
                names = (ast.Name, ast.Call)
                if any(isinstance(part, names) for part in ast.walk(node.test)):
                    return True
            elif isinstance(node, ast.Call) and "assert_" in ast.unparse(node.func):
                return True  # numpy.testing.assert_allclose and its like
            elif look(ast.iter_child_nodes(node)):
                return True
        return False

    return look(tree.body)


def _cited(text: str) -> set[str]:
    """The works that a page cites."""
    roles = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
    return {key.strip() for role in roles for key in role.split(",")}

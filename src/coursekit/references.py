"""What a page of the book refers to: sections, figures, equations, works, files, results."""

import ast
import base64
import mimetypes
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from coursekit.errors import CourseError
from coursekit.markdown import Directive, blocks, directive
from coursekit.repository import Repository

__all__ = ["Book", "PageLinks"]


@dataclass(frozen=True)
class Target:
    """Something with a label.

    Args:
        page: The file it stands in.
        kind: `section`, `figure`, `table`, `equation`, `code` or `box`.
        title: Title or caption.
        number: Its number among its kind on the page.
    """

    page: Path
    kind: str
    title: str
    number: int


class Book:
    """The pages of the book and everything in them that has a label."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    @cached_property
    def pages(self) -> list[Path]:
        """Every Markdown file of the book that its author wrote."""
        files = sorted(self.repository.book.rglob("*.md"))
        parts = {file: file.relative_to(self.repository.book).parts for file in files}
        return [
            file
            for file in files
            if not any(
                part.startswith(("_", ".")) or part == "node_modules" for part in parts[file]
            )
        ]

    @cached_property
    def targets(self) -> dict[str, Target]:
        """Everything with a label, by label."""
        return {label: target for page in self.pages for label, target in _targets(page)}

    @cached_property
    def titles(self) -> dict[Path, str]:
        """Title of every page."""
        titles = {}
        for page in self.pages:
            heading = re.search(r"^# +(.+?)(?: *\{.*\})? *$", page.read_text("utf-8"), re.MULTILINE)
            titles[page.resolve()] = heading[1] if heading else page.stem
        return titles

    @cached_property
    def works(self) -> Mapping[str, Any]:
        """The entries of `references.bib`, by key."""
        file = self.repository.book / "references.bib"
        if not file.is_file():
            return {}
        import pybtex.database  # type: ignore[import-untyped]

        try:
            return pybtex.database.parse_file(file).entries
        except pybtex.database.PybtexError as error:
            raise CourseError(f"{self.repository.name(file)}: {error}; mend that entry.") from error


@dataclass
class PageLinks:
    """What one page refers to, in the words of a notebook; see `coursekit.markdown.Links`.

    Args:
        book: The whole book.
        page: The Markdown file.
        values: Results by the name under which a cell of the page stored them with `glue`.
    """

    book: Book
    page: Path
    values: Mapping[str, str] = field(default_factory=dict)
    _cited: list[str] = field(default_factory=list)

    def reference(self, role: str, target: str, text: str) -> str:
        """What `{role}` with `text <target>` shows."""
        family = role.split(":")[0]
        if family == "glue":
            return self._value(role, target)
        if family == "cite":
            return self._cite(role, target)
        if role == "doc":
            return self._page_link(self._file(target + ".md"), "", text)
        if role == "page":  # It may not be written yet; the site checks its name.
            file = self.repository.book / f"{target}.md"
            name = target.rsplit("/", 1)[-1].replace("_", " ").capitalize()
            return self._page_link(file, "", text) if file.is_file() else f"*{text or name}*"
        found = self.book.targets.get(target)
        if found is None:
            raise self._missing(f"the label `{target}`")
        number = f"{found.kind.capitalize()} {found.number}"
        if role == "eq":
            shown = f"({found.number})"
        elif role == "numref" and found.kind != "section":
            shown = text.replace("%s", str(found.number)).replace("{number}", str(found.number))
            shown = shown.replace("{name}", found.title) or number
        else:
            shown = text or found.title or number
        if found.page == self.page:
            return shown
        return self._page_link(found.page, target, shown)

    def link(self, target: str, text: str) -> str:
        """What `[text](target)` shows, for a target that is no address of the web."""
        path, _, label = target.partition("#")
        if not path:
            # What is no label is the address of a heading, which only the site has.
            known = label in self.book.targets or not text
            return self.reference("ref", label, text) if known else text
        file = self._file(path)
        if file.suffix == ".md" and self.repository.book in file.parents:
            return self._page_link(file, label, text)
        address = self.repository.file_address(file)
        return f"[{text}]({address})" if address else text

    def number(self, label: str) -> str:
        """The number of a labelled equation, figure or table."""
        found = self.book.targets.get(label)
        if found is None:
            raise self._missing(f"the label `{label}`")
        if found.kind == "equation":
            return str(found.number)
        return f"{found.kind.capitalize()} {found.number}"

    def image(self, path: str) -> str:
        """The image itself, as an address: a notebook in Colab has no files beside it."""
        file = self._file(path)
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"

    def listing(self, directive: Directive) -> tuple[str, str]:
        """Language and text of an included source file, chosen as Sphinx chooses."""
        from sphinx.directives.code import LiteralIncludeReader

        file = self._file(directive.argument)
        options: dict[str, Any] = dict(directive.options)
        if "dedent" in options:
            options["dedent"] = int(options["dedent"]) if options["dedent"] else None
        reader = LiteralIncludeReader(
            str(file),
            options,
            SimpleNamespace(source_encoding="utf-8"),  # type: ignore[arg-type]
        )
        try:
            text, _ = reader.read()
        except (ValueError, OSError) as error:
            raise CourseError(f"{self._name}: {error}; mend the `literalinclude`.") from error
        language = options.get("language") or {".py": "python"}.get(file.suffix, "")
        return language, text.strip("\n")

    def included(self, path: str) -> str:
        """The text of an included Markdown file."""
        return self._file(path).read_text(encoding="utf-8")

    def bibliography(self) -> str:
        """The list of the works cited so far, in order of their authors."""
        works = sorted(self._cited, key=lambda key: (self._names(key), self._year(key)))
        return "\n".join(f"- {self._entry(key)}" for key in dict.fromkeys(works))

    @property
    def repository(self) -> Repository:
        """The course."""
        return self.book.repository

    @property
    def _name(self) -> str:
        return self.repository.name(self.page)

    def _missing(self, what: str) -> CourseError:
        return CourseError(f"{self._name}: {what} is nowhere in the book; mend the reference.")

    def _file(self, path: str) -> Path:
        """A file that the page names: relative to it, or to the book after a slash."""
        base = self.repository.book if path.startswith("/") else self.page.parent
        file = (base / path.lstrip("/")).resolve()
        if not file.is_file():
            raise CourseError(f"{self._name}: `{path}` names no file; mend the path.")
        return file

    def _page_link(self, page: Path, label: str, text: str) -> str:
        """A link to the published page; its title alone while there is no site."""
        text = text or self.book.titles[page]
        address = self.repository.page_address(page)
        anchor = f"#{label.lower().replace('_', '-')}" if label else ""
        return f"[{text}]({address}{anchor})" if address else text

    def _value(self, role: str, name: str) -> str:
        """A result that a cell computed: its value where it is known, else its name."""
        name, _, form = name.partition(":")
        if name not in self.values:
            return f"`{name}`"
        value = self.values[name]
        try:
            return format(ast.literal_eval(value), form)
        except (ValueError, SyntaxError, TypeError) as error:
            raise CourseError(
                f"{self._name}: the result `{name}` (={value}) is nothing that `{role}` can print; "
                "glue a number or a text."
            ) from error

    def _cite(self, role: str, keys: str) -> str:
        """Authors and year, with a link to the work."""
        textual = role.partition(":")[2].startswith("t")
        marks = []
        for key in map(str.strip, keys.split(",")):
            if key not in self.book.works:
                raise CourseError(f"{self._name}: `{key}` is not in references.bib; add it there.")
            self._cited.append(key)
            names, year = self._names(key), self._year(key)
            mark, address = (
                f"{names} ({year})" if textual else f"{names}, {year}",
                self._address(key),
            )
            marks.append(f"[{mark}]({address})" if address else mark)
        return ", ".join(marks) if textual else f"({'; '.join(marks)})"

    def _names(self, key: str) -> str:
        persons = self.book.works[key].persons
        people = persons.get("author") or persons.get("editor") or []
        names = [
            _unescaped(" ".join(person.prelast_names + person.last_names)) for person in people
        ]
        if len(names) > 2:
            return f"{names[0]} et al."
        return " and ".join(names) or _unescaped(self.book.works[key].fields.get("title", key))

    def _year(self, key: str) -> str:
        return str(self.book.works[key].fields.get("year", "n.d."))

    def _address(self, key: str) -> str:
        fields = self.book.works[key].fields
        if "doi" in fields:
            return f"https://doi.org/{fields['doi']}"
        return str(fields.get("url", ""))

    def _entry(self, key: str) -> str:
        fields = self.book.works[key].fields
        place = fields.get("journal") or fields.get("booktitle") or fields.get("publisher") or ""
        address = self._address(key)
        parts = [
            f"{self._names(key)} ({self._year(key)})",
            f"*{_unescaped(fields.get('title', ''))}*",
            _unescaped(place),
            f"<{address}>" if address else "",
        ]
        return ". ".join(filter(None, parts)) + "."


def _targets(page: Path) -> Iterator[tuple[str, Target]]:
    """Everything on a page that has a label."""
    pending: list[str] = []
    counts = dict.fromkeys(("figure", "table", "equation", "code"), 0)

    def walk(text: str) -> Iterator[tuple[str, Target]]:
        tokens = blocks(text)
        for token, following in zip(tokens, [*tokens[1:], None], strict=False):
            if token.type == "myst_target":
                pending.append(token.content)
            elif token.type == "heading_open" and following is not None:
                title = re.sub(r"\s*\{[.#][^}]*\}$", "", following.content)
                for label in pending:
                    yield label, Target(page, "section", title, 0)
                pending.clear()
            elif token.type in {"math_block_label", "math_block"}:
                yield from numbered("equation", token.info, "")
            elif known := directive(token):
                kind = _KINDS.get(known.name)
                caption = known.argument if "table" in known.name else known.body.split("\n\n")[0]
                if kind:
                    yield from numbered(kind, known.label, " ".join(caption.split()))
                elif known.name == "code-cell":
                    # MyST-NB turns what a cell shows into a figure when its metadata say so.
                    figure = known.metadata.get("mystnb", {}).get("figure") or {}
                    if figure:
                        title = " ".join(str(figure.get("caption", "")).split())
                        yield from numbered("figure", str(figure.get("name", "")), title)
                elif known.name not in {"code-block", "mermaid"}:
                    for label in [*pending, *([known.label] if known.label else [])]:
                        yield label, Target(page, "box", known.argument, 0)
                    pending.clear()
                    yield from walk(known.body)

    def numbered(kind: str, label: str, caption: str) -> Iterator[tuple[str, Target]]:
        labels = [*pending, *([label] if label else [])]
        pending.clear()
        # Sphinx numbers every figure with a caption, and the equations that have a label.
        counts[kind] += bool(labels if kind == "equation" else caption)
        for name in labels:
            yield name, Target(page, kind, caption, counts[kind])

    yield from walk(page.read_text(encoding="utf-8"))


_KINDS = {
    "math": "equation",
    "figure": "figure",
    "glue:figure": "figure",
    "table": "table",
    "list-table": "table",
    "literalinclude": "code",
}


def _unescaped(text: str) -> str:
    """The text of a BibTeX field, without its TeX."""
    from pybtex.backends.plaintext import Backend  # type: ignore[import-untyped]
    from pybtex.richtext import Text  # type: ignore[import-untyped]

    # `render_as("text")` looks through all installed packages for its backend, each time.
    return str(Text.from_latex(text).render(Backend()))

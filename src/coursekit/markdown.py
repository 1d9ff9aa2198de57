"""MyST Markdown made into Markdown that reads well in any notebook, Colab's included.

Only what plain Markdown does not know is replaced, line range by line range; every other line stays
as it is. A directive or role that this module does not know is an error, for it would reach the
reader as raw text.
"""

import re
from typing import Any, Protocol

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin

__all__ = [
    "Directive",
    "Links",
    "UnknownSyntaxError",
    "blocks",
    "caption",
    "directive",
    "to_markdown",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ADMONITIONS = _words(
    "admonition attention caution danger error hint important note seealso tip todo warning "
    "erratum margin sidebar topic"
)
_FOLDED = frozenset({"dropdown", "details", "toggle"})
_TITLED = frozenset({"tab-item", "grid-item-card", "card"})
_BARE = frozenset({"tab-set", "grid", "grid-item", "div", "container", "card-carousel"})
_CODE = {"code-block": "", "code": "", "sourcecode": "", "code-cell": "python"}
# What only the site needs: menus, indexes, its own markup, and figures that the code cells show.
_DROPPED = _words("toctree tableofcontents contents index raw only glue:figure")

_PLAIN_ROLES = frozenset(["term", "abbr", "samp", "guilabel", "menuselection", "download"])
_CODE_ROLES = _words(
    "code kbd command file py:func py:class py:meth py:mod py:attr py:data py:exc func class "
    "meth mod attr"
)


# The blocks that hold no running text.
_BLOCKS = _words(
    "fence colon_fence math_block math_block_label amsmath code_block html_block myst_target "
    "myst_line_comment myst_block_break"
)


class UnknownSyntaxError(ValueError):
    """A directive or role that has no plain spelling yet."""


class Directive:
    """A directive taken apart.

    Args:
        name: E.g. `figure`.
        argument: The rest of its first line.
        options: Its options as text.
        metadata: The same as YAML values; for a code cell, the metadata of the cell.
        body: The lines of its content.
    """

    def __init__(self, name: str, argument: str, content: str) -> None:
        self.name = name
        self.argument = argument
        self.options: dict[str, str] = {}
        self.metadata: dict[str, Any] = {}
        lines = content.split("\n")
        if lines[0].strip() == "---" and "---" in map(str.strip, lines[1:]):
            end = 1 + [line.strip() for line in lines[1:]].index("---")
            self.metadata = yaml.safe_load("\n".join(lines[1:end])) or {}
            self.options = {str(key): str(value) for key, value in self.metadata.items()}
            lines = lines[end + 1 :]
        else:
            while lines and (option := re.fullmatch(r"\s*:(\w[\w:-]*):\s*(.*)", lines[0])):
                self.options[option[1]] = option[2]
                lines = lines[1:]
        self.body = "\n".join(lines).strip("\n")

    @property
    def label(self) -> str:
        """The name by which other places refer to it; empty when it has none."""
        return self.options.get("label") or self.options.get("name") or ""


class Links(Protocol):
    """What a page can refer to; each method returns Markdown."""

    def reference(self, role: str, target: str, text: str) -> str:
        """What `{role}` with `text <target>` shows."""

    def link(self, target: str, text: str) -> str:
        """What `[text](target)` shows, for a target that is no address of the web."""

    def number(self, label: str) -> str:
        """The number of a labelled equation or figure on this page; empty when it has none."""

    def image(self, path: str) -> str:
        """The address of an image that a notebook can show."""

    def listing(self, directive: Directive) -> tuple[str, str]:
        """Language and text of an included source file."""

    def included(self, path: str) -> str:
        """The text of an included Markdown file."""

    def bibliography(self) -> str:
        """The list of the works that the page cites."""


def blocks(text: str) -> list[Token]:
    """Parse the blocks of a MyST text; each token knows its lines."""
    parser = (
        MarkdownIt("commonmark")
        .enable("table")
        .use(front_matter_plugin)
        .use(myst_block_plugin)
        .use(colon_fence_plugin)
        .use(dollarmath_plugin, allow_labels=True)
        .use(amsmath_plugin)
        .disable("inline", True)
    )
    return parser.parse(text)


def directive(token: Token) -> Directive | None:
    """The directive that a token is; None for any other token."""
    if token.type not in {"fence", "colon_fence"}:
        return None
    head = re.fullmatch(r"\{([\w:.+-]+)\}\s*(.*)", token.info.strip())
    return Directive(head[1], head[2], token.content) if head else None


def to_markdown(text: str, links: Links) -> str:
    """Turn MyST Markdown into plain Markdown.

    Args:
        text: The source of a Markdown cell.
        links: What the page can refer to.

    Raises:
        UnknownSyntaxError: A directive or role has no plain spelling.
    """
    lines = text.split("\n")
    result: list[str] = []
    position = 0

    def add(new: list[str], apart: bool) -> None:
        """Append lines; a new block stands apart, and a dropped one leaves no second gap."""
        if result and apart and result[-1].strip() and new:
            result.append("")
        while new and not new[0].strip() and not (result and result[-1].strip()):
            new = new[1:]
        result.extend(new)

    def add_text(start: int, end: int, apart: bool) -> None:
        if start < end:
            text = _inline("\n".join(lines[start:end]), links)
            add(text.split("\n"), apart and bool(lines[start].strip()))

    replaced = False
    for token in blocks(text):
        if token.map is None or token.map[0] < position or token.type not in _BLOCKS:
            continue
        start, end = token.map
        # A block at the end of a list item may count the blank lines after it.
        while end > start + 1 and end <= len(lines) and not lines[end - 1].strip():
            end -= 1
        add_text(position, start, replaced)
        block = _block(token, links)
        if block is None:
            add(lines[start:end], False)
        else:
            add(_indented(block, lines[start]), True)
        replaced, position = bool(block), end
    add_text(position, len(lines), replaced)
    return "\n".join(result).strip("\n")


def _block(token: Token, links: Links) -> str | None:
    """The plain spelling of a block; None for one that stays as it is."""
    if token.type in {"math_block", "math_block_label"}:
        return _math(token.content, token.info, links)
    if token.type in {"myst_target", "myst_line_comment", "myst_block_break"}:
        return ""
    known = directive(token)
    return _directive(known, links) if known else None


def _indented(block: str, opening: str) -> list[str]:
    """Put a block where the old one stood: behind its list marker or quotation mark."""
    if not block:
        return []
    prefix = re.match(r"(?:\s|>|[-*+]\s|\d+[.)]\s)*", opening)[0]  # type: ignore[index]
    rest = re.sub(r"[^\s>]", " ", prefix)
    return [
        ((rest if number else prefix) + line).rstrip()
        for number, line in enumerate(block.split("\n"))
    ]


def _directive(known: Directive, links: Links) -> str:
    """The plain spelling of a directive."""
    name, options = known.name, known.options
    title = _inline(known.argument, links)
    if name in _DROPPED:
        return ""
    if name in _ADMONITIONS:
        folded = "dropdown" in options.get("class", "").split()
        body = known.body
        if name not in {"admonition", "topic", "sidebar", "margin"}:
            heading = "See also" if name == "seealso" else name.capitalize()
            # What stands behind `{note}` is text; behind `{erratum}` and our like, a title.
            heading, body = (
                (f"{heading}: {title}" if title else heading, body)
                if name == "erratum"
                else (heading, "\n\n".join(filter(None, [known.argument, body])))
            )
        else:
            heading = title
        body = to_markdown(body, links)
        return _details(heading, body) if folded else _quote(heading, body)
    if name in _FOLDED:
        return _details(title or "Show", to_markdown(known.body, links))
    if name in _TITLED:
        return "\n\n".join(filter(None, [title and f"**{title}**", to_markdown(known.body, links)]))
    if name in _BARE:
        return to_markdown(known.body, links)
    if name == "math":
        return _math("\n".join(filter(None, [known.argument, known.body])), known.label, links)
    if name in _CODE:
        return _fence(known.argument or _CODE[name], known.body)
    if name == "mermaid":
        return _fence("mermaid", known.body)
    if name == "literalinclude":
        return _fence(*links.listing(known))
    if name == "include":
        return to_markdown(links.included(known.argument), links)
    if name in {"figure", "image"}:
        image = f"![{options.get('alt', '')}]({links.image(known.argument)})"
        return "\n\n".join(filter(None, [image, caption(known.body, known.label, links)]))
    if name in {"table", "list-table"}:
        rows = known.body if name == "table" else _table(known.body)
        title = caption(known.argument, known.label, links)
        return "\n\n".join(filter(None, [title, to_markdown(rows, links)]))
    if name == "bibliography":
        return links.bibliography()
    if name == "glue":
        return links.reference("glue", known.argument, "")
    raise UnknownSyntaxError(f"the directive `{{{name}}}`")


def _quote(heading: str, body: str) -> str:
    """A quotation under a bold heading."""
    # A notebook reads `$$` before `>`: the marks of a quotation would become part of the formula.
    body = re.sub(r"\$\$\n(.*?)\n\$\$", _one_line, body, flags=re.DOTALL)
    lines = ([f"**{heading}**", ""] if heading else []) + body.split("\n")
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _one_line(match: re.Match[str]) -> str:
    return f"$${' '.join(match[1].split())}$$"


def _details(summary: str, body: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def _fence(language: str, text: str) -> str:
    ticks = "`" * max([3, *(1 + len(run) for run in re.findall(r"`{3,}", text))])
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def _math(formula: str, label: str, links: Links) -> str:
    formula = formula.strip()
    if r"\\" in formula and not formula.startswith(r"\begin"):
        formula = f"\\begin{{aligned}}\n{formula}\n\\end{{aligned}}"  # As Sphinx does.
    tag = f" \\tag{{{links.number(label)}}}" if label else ""
    return f"$$\n{formula}{tag}\n$$"


def caption(text: str, label: str, links: Links) -> str:
    """An emphasized caption with its number."""
    paragraphs = to_markdown(text, links).split("\n\n")
    head = " ".join(paragraphs[0].split())
    if head and label:
        head = f"{links.number(label)}. {head}"
    return "\n\n".join(filter(None, [head and f"*{head}*", *paragraphs[1:]]))


def _table(body: str) -> str:
    """A `list-table` as a pipe table; its first row is the head."""
    rows: list[list[str]] = []
    for line in body.split("\n"):
        if cell := re.match(r"\s*(\*\s+-|-)(?:\s+(.*))?$", line):
            if cell[1] != "-":
                rows.append([])
            rows[-1].append(cell[2] or "")
        elif line.strip():
            rows[-1][-1] += " " + line.strip()
    rows = [[_CELL_BAR.sub(_bar, cell) for cell in row] for row in rows]
    head, *others = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *others])


# A formula, or a bar outside of one: in a pipe table neither may show a plain bar.
_CELL_BAR = re.compile(r"\$[^$]+\$|(?<!\\)\|")


def _bar(match: re.Match[str]) -> str:
    formula = match[0]
    return re.sub(r"(?<!\\)\|", r"\\vert ", formula) if formula != "|" else r"\|"


_INLINE = re.compile(
    r"""(?P<comment><!--.*?-->)
    | (?:\{(?P<role>[A-Za-z][\w:.+-]*)\})?(?<!`)(?P<ticks>`+)(?!`)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)
    | (?P<math>\$\$.+?\$\$|(?<![\\$])\$(?!\s)[^$\n]+?(?<![\s\\])\$(?!\d))
    | (?P<image>!)?\[(?P<text>(?:[^\[\]`]|`[^`]*`|\[[^\]]*\])*)\]\((?P<target>[^()\s]*)\)
      (?:\{[^{}\n]*\}(?!`))?
    | ^[ \t]*\{[.#][^{}\n]*\}[ \t]*$\n?
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


def _inline(text: str, links: Links) -> str:
    """Replace roles, links and images in running text."""

    def replace(match: re.Match[str]) -> str:
        if match["comment"] or match["math"]:
            return match[0]
        if match["code"] is not None:
            return _role(match["role"], match["code"], links) if match["role"] else match[0]
        if match["target"] is None:
            return ""  # Attributes of a block, which only the site knows.
        target, inner = match["target"], _inline(match["text"], links)
        web = re.match(r"[a-z][a-z0-9+.-]*:", target)
        if match["image"]:
            return f"![{match['text']}]({target if web else links.image(target)})"
        return f"[{inner}]({target})" if web else links.link(target, inner)

    return _INLINE.sub(replace, text)


def _role(role: str, content: str, links: Links) -> str:
    """The plain spelling of a role."""
    content = " ".join(content.split())
    named = re.fullmatch(r"(.*?)\s*<([^<>]+)>", content)
    text, target = (named[1], named[2]) if named else ("", content)
    if role in {"ref", "numref", "eq", "doc", "page"} or role.split(":")[0] in {"cite", "glue"}:
        return links.reference(role, target, text)
    if role == "math":
        return f"${content}$"
    if role in _CODE_ROLES:
        return f"`{text or content.lstrip('~!')}`"
    if role in _PLAIN_ROLES:
        return text or content
    if role in {"sub", "sup"}:
        return f"<{role}>{content}</{role}>"
    raise UnknownSyntaxError(f"the role `{{{role}}}`")

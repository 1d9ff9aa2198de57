"""Cells of a notebook as HTML that does nothing: no script, no style, no request to anywhere.

A student writes what an instructor opens. So nothing of a notebook becomes HTML as it is: text is
escaped, Markdown is rendered with the few tags below, pictures are embedded as images (in which a
browser runs no script and fetches nothing), and all other HTML stays text or is left out.
"""

import base64
import binascii
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

from coursekit.grading.people.formulas import mathml

__all__ = ["Room", "bounded", "code", "markdown", "outputs", "plain"]

# What one cell and one page show of what a student prints.
CHARACTERS_PER_OUTPUT = 4_000
BYTES_PER_PICTURE = 2 * 2**20
# Pictures of a page together, as the text they are there: a mail takes such a page.
CHARACTERS_OF_PICTURES = 3 * 2**20
# None of these ends up outside the box that it is written in, whatever is left unclosed.
_TAG = re.compile(r"(</?(?:details|summary|sub|sup|kbd)>|<br ?/?>)", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
# Colours, movements of the cursor, links.
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# They would show a program in another order than it is written in.
_ORDER = re.compile("[\u202a-\u202e\u2066-\u2069]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_PICTURES = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8", "image/gif": b"GIF8"}


def text_of(value: object) -> str:
    """Text of a notebook, which may be stored as a list of lines."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def plain(text: str) -> str:
    """Text without colours and control characters, as a terminal would leave it."""
    text = _TERMINAL.sub("", text).replace("\r\n", "\n")
    # A progress bar writes its line again and again: the last one stays.
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _ORDER.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub("", "\n".join(lines)))


def bounded(text: str, characters: int = CHARACTERS_PER_OUTPUT) -> str:
    """The beginning and the end of a text, and how much is left out between them."""
    if len(text) <= characters:
        return text
    begin, end = text[: characters * 3 // 4], text[-(characters // 4) :]
    return f"{begin}\n… {len(text) - len(begin) - len(end):,} characters are left out here …\n{end}"


@functools.lru_cache(maxsize=1024)
def code(source: str) -> Markup:
    """Python source with its parts marked for colours."""
    from pygments import highlight  # type: ignore[import-untyped]
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
    from pygments.lexers import PythonLexer  # type: ignore[import-untyped]

    return Markup(highlight(source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)))


@functools.lru_cache(maxsize=1024)
def markdown(source: str) -> Markup:
    """Markdown with formulas; of HTML only folds, line breaks and raised letters."""
    return Markup(_parser().render(source))


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    dollarmath_plugin(
        parser,
        renderer=lambda tex, how: mathml(tex, display=how["display_mode"]),
        allow_labels=False,
    )
    amsmath_plugin(parser, renderer=lambda tex: mathml(tex, display=True))
    for rule, render in {
        "html_block": _html,
        "html_inline": _html,
        "image": _image,
        "link_open": _link,
        "heading_open": _heading,
        "heading_close": _heading,
        "fence": _fence,
    }.items():
        parser.add_render_rule(rule, render)
    return parser


def _html(self: RendererHTML, tokens: Sequence[Token], index: int, *_: Any) -> str:
    content = _COMMENT.sub("", tokens[index].content)
    parts = _TAG.split(content)
    return "".join(part.lower() if _TAG.fullmatch(part) else escape(part) for part in parts)


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, *_: Any) -> str:
    """A picture inside the text; one from elsewhere would tell its host who reads this page."""
    address = str(tokens[index].attrs.get("src", ""))
    words = escape(tokens[index].content)
    for kind in _PICTURES:
        head, found, data = address.partition(f"data:{kind};base64,")
        if found and not head and (picture := _picture(kind, data, words)):
            return picture
    return f"[picture: {words or 'without words'}]"


def _link(self: RendererHTML, tokens: Sequence[Token], index: int, *_: Any) -> str:
    address = str(tokens[index].attrs.get("href", ""))
    if not re.match(r"https?://|mailto:", address, re.IGNORECASE):
        return "<a>"  # A file of the exercise, which does not lie beside this page.
    return f'<a href="{escape(address)}" rel="noopener noreferrer">'


def _heading(self: RendererHTML, tokens: Sequence[Token], index: int, *_: Any) -> str:
    """Headings below those of the page."""
    level = min(6, int(tokens[index].tag[1:]) + 2)
    return f"<h{level}>" if tokens[index].nesting == 1 else f"</h{level}>\n"


def _fence(self: RendererHTML, tokens: Sequence[Token], index: int, *_: Any) -> str:
    token = tokens[index]
    shown = code(token.content) if token.info.strip() == "python" else escape(token.content)
    return f"<pre><code>{shown}</code></pre>\n"


def _picture(kind: str, data: str, words: str) -> str:
    """An image tag, if the data are what they say; `words` is escaped."""
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return ""
    if not content.startswith(_PICTURES[kind]) or len(content) > BYTES_PER_PICTURE:
        return ""
    encoded = base64.b64encode(content).decode()
    return f'<img src="data:{kind};base64,{encoded}" alt="{words}">'


def _drawing(svg: str, words: str) -> str:
    """An SVG as an image: in an `img`, a browser runs no script and loads no file.

    `words` is escaped.
    """
    content = svg.encode()
    if "<svg" not in svg or "<!ENTITY" in svg.upper() or len(content) > BYTES_PER_PICTURE:
        return ""
    encoded = base64.b64encode(content).decode()
    return f'<img src="data:image/svg+xml;base64,{encoded}" alt="{words}">'


@dataclass
class Room:
    """How much more of something a page takes.

    Args:
        left: What is left, in characters of the page.
    """

    left: int = CHARACTERS_OF_PICTURES

    def takes(self, part: str) -> bool:
        """Whether a part still fits; then it counts."""
        fits = len(part) <= self.left
        self.left -= len(part) if fits else 0
        return fits


def outputs(cell: Mapping[str, Any], name: str, room: Room | None = None) -> Iterator[Markup]:
    """What a cell of the student's printed and showed, bounded.

    Args:
        cell: A code cell of a notebook.
        name: What the alternative text of a picture calls the cell.
        room: For the pictures of the whole page; by default for those of this cell.
    """
    room = room or Room()
    printed, left_out = "", 0
    for output in cell.get("outputs") or ():
        kind = output.get("output_type")
        if kind == "stream":
            printed += text_of(output.get("text"))
            continue
        if printed:
            yield _box(printed)
            printed = ""
        if kind == "error":
            lines = [line for line in output.get("traceback") or () if isinstance(line, str)]
            said = f"{text_of(output.get('ename'))}: {text_of(output.get('evalue'))}"
            yield _box("\n".join(lines) or said, "error")
        elif kind in {"display_data", "execute_result"}:
            data, words = output.get("data") or {}, escape(f"Output of {name}")
            picture = _picture_of(data, words)
            if not picture:
                yield _shown(data)
            elif room.takes(picture):
                yield Markup(f'<p class="picture">{picture}</p>')
            else:
                left_out += 1
    if printed:
        yield _box(printed)
    if left_out:
        pictures = "picture is" if left_out == 1 else "pictures are"
        yield _box(f"({left_out} more {pictures} left out: this page would become too large)")


def _picture_of(data: Mapping[str, Any], words: str) -> str:
    """A result as an image, if it has a form that is one; `words` is escaped."""
    found = ""
    if "image/svg+xml" in data:
        found = _drawing(text_of(data["image/svg+xml"]), words)
    for kind in _PICTURES:
        if not found and kind in data:
            found = _picture(kind, text_of(data[kind]), words)
    return found


def _shown(data: Mapping[str, Any]) -> Markup:
    """The richest form of a result that is text."""
    if "text/markdown" in data or "text/latex" in data:
        source = text_of(data.get("text/markdown") or data.get("text/latex"))
        return Markup('<div class="text">{}</div>').format(markdown(bounded(plain(source))))
    text = text_of(data.get("text/plain"))
    return _box(text) if text else _box("(this page does not show such an output)")


def _box(text: str, kind: str = "printed") -> Markup:
    return Markup('<pre class="{}">{}</pre>').format(kind, bounded(plain(text).rstrip("\n")))

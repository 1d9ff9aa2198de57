"""The look of the figures: colors for both color schemes, and an SVG that switches between them.

A figure is drawn once, in its light colors. :func:`to_svg` then adds one style rule for each color
that says what it becomes when the reader's color scheme is dark. A viewer that does not know such
rules shows the light figure, with its own background, so it is readable everywhere.
"""

from __future__ import annotations

import hashlib
import io
import re
from typing import Any, NamedTuple

import matplotlib
from cycler import cycler
from matplotlib.figure import Figure


class Color(NamedTuple):
    """A color as hexadecimal text, once for a light and once for a dark page."""

    light: str
    dark: str


#: The page itself. Not quite white, so that a deliberate white (text on an image) stays white.
BACKGROUND = Color("#fffffe", "#14181e")
FOREGROUND = Color("#1f2933", "#e6eaf0")
MUTED = Color("#57606a", "#9da7b3")
GRID = Color("#e2e6ea", "#2b333d")

#: Series colors by name: the hues of Okabe and Ito, told apart by color-blind readers, darkened
#: or lightened until each has a contrast of at least 3:1 on its own background.
PALETTE = {
    "blue": Color("#0072b2", "#56b4e9"),
    "vermillion": Color("#c2500a", "#f2935c"),
    "green": Color("#00805d", "#3cc79f"),
    "purple": Color("#a8508a", "#e39ac6"),
    "olive": Color("#8a6d00", "#e0c04a"),
    "gray": Color("#5b6570", "#b4bdc8"),
}

_BLACK = Color("#000000", FOREGROUND.dark)
_SWITCHED = {
    color.light: color.dark
    for color in (BACKGROUND, FOREGROUND, MUTED, GRID, _BLACK, *PALETTE.values())
}

#: Matplotlib settings.
STYLE: dict[Any, Any] = {
    "figure.figsize": (6.0, 3.6),  # inches; 576 px wide, and still legible on a telephone.
    "figure.constrained_layout.use": True,
    "figure.facecolor": BACKGROUND.light,
    "figure.edgecolor": BACKGROUND.light,
    "savefig.facecolor": "auto",
    "savefig.edgecolor": "auto",
    "axes.facecolor": BACKGROUND.light,
    "axes.edgecolor": MUTED.light,
    "axes.labelcolor": FOREGROUND.light,
    "axes.titlecolor": FOREGROUND.light,
    "axes.titlesize": "medium",
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=[color.light for color in PALETTE.values()]),
    "grid.color": GRID.light,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED.light,
    "ytick.color": MUTED.light,
    "xtick.labelcolor": FOREGROUND.light,
    "ytick.labelcolor": FOREGROUND.light,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "text.color": FOREGROUND.light,
    "patch.edgecolor": FOREGROUND.light,
    "hatch.color": FOREGROUND.light,
    "boxplot.boxprops.color": FOREGROUND.light,
    "boxplot.capprops.color": FOREGROUND.light,
    "boxplot.whiskerprops.color": FOREGROUND.light,
    "boxplot.flierprops.color": FOREGROUND.light,
    "boxplot.flierprops.markeredgecolor": FOREGROUND.light,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.0,
    "legend.frameon": False,
    "legend.labelcolor": FOREGROUND.light,
    "font.size": 11.0,
    "image.cmap": "gray",
    "image.interpolation": "none",  # Pixels stay pixels: the browser enlarges them, unblurred.
    "image.composite_image": False,
    "svg.fonttype": "path",  # The same letters on every machine, and in every language.
    "svg.hashsalt": "largemodels",  # The same figure gives the same bytes.
}


def use_style() -> None:
    """Give every matplotlib figure of this session the look of the course.

    In a notebook, figures then appear as SVG images that follow the reader's color scheme.
    Calling it again changes nothing.

    Example:
        >>> import matplotlib
        >>> use_style()
        >>> matplotlib.rcParams["axes.grid"]
        True
    """
    matplotlib.rcParams.update(STYLE)
    shell = _ipython_shell()
    if shell is not None:
        from matplotlib_inline.config import InlineBackend

        # No PNG beside the SVG, whether IPython has set up its support for matplotlib or will.
        InlineBackend.instance(parent=shell).figure_formats = set()
        shell.display_formatter.mimebundle_formatter.for_type(Figure, _mimebundle)


def figure(width: float = 6.0, height: float = 3.6) -> Figure:
    """Make an empty figure in the look of the course, unknown to pyplot.

    Args:
        width: Width in inches; 6 inches are 576 pixels.
        height: Height in inches.

    Returns:
        A figure that a notebook shows once, when it is the last line of a cell.

    Example:
        >>> figure(4, 3).get_size_inches().tolist()
        [4.0, 3.0]
    """
    with matplotlib.rc_context(STYLE):
        return Figure(figsize=(width, height))


def to_svg(fig: Figure) -> str:
    """Draw a figure as SVG text that follows the color scheme of the page around it.

    The same code gives the same text on every run: no date, no random identifiers.

    Args:
        fig: The figure.

    Returns:
        The SVG document.

    Example:
        >>> svg = to_svg(figure(2, 1))
        >>> svg.startswith("<svg"), "prefers-color-scheme: dark" in svg
        (True, True)
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({key: STYLE[key] for key in ("svg.fonttype", "svg.hashsalt")}):
        fig.savefig(buffer, format="svg", metadata={"Date": None})
    return _switching(buffer.getvalue())


def _mimebundle(fig: Figure, include: Any = None, exclude: Any = None) -> dict[str, str]:
    return {"image/svg+xml": to_svg(fig)}


def _ipython_shell() -> Any:
    """Return the running IPython shell, or None outside IPython, without starting one."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    return get_ipython()


# The color attributes of a shape, such as ` fill="#1f2933"`.
_COLORS = re.compile(r' (?:fill|stroke)="#[0-9a-f]{6}"')
# One declaration of a style attribute, such as `fill: #1f2933`.
_PAINT = re.compile(r"(?P<property>fill|stroke):\s*(?P<value>#[0-9a-f]{6})\s*(?:;\s*|$)")


def _switching(svg: str) -> str:
    """Turn the colors of the style into attributes, and add the rules for a dark page.

    Matplotlib writes ``style="fill: #1f2933"``, which no style rule can override.
    """

    def to_attributes(match: re.Match[str]) -> str:
        attributes = []

        def move(paint: re.Match[str]) -> str:
            if paint["value"] not in _SWITCHED:
                return paint[0]
            attributes.append(f'{paint["property"]}="{paint["value"]}"')
            return ""

        rest = _PAINT.sub(move, match[1]).strip()
        if rest:
            attributes.append(f'style="{rest}"')
        return " ".join(attributes)

    svg = re.sub(r'style="([^"]*)"', to_attributes, svg)
    # A rule does not reach the shape of a marker where it is used: there it inherits its colors.
    svg = re.sub(r'<path id="[^>]*>', lambda shape: _COLORS.sub("", shape[0]), svg)
    dark = "".join(
        f'.largemodels-figure [{paint}="{light}"]{{{paint}:{dark}}}'
        for light, dark in _SWITCHED.items()
        for paint in ("fill", "stroke")
        if f'{paint}="{light}"' in svg
    )
    rules = (
        f"<style>.largemodels-figure{{fill:{FOREGROUND.light}}}"
        "@media (prefers-color-scheme: dark){"
        f".largemodels-figure{{fill:{FOREGROUND.dark}}}{dark}}}</style>"
    )
    svg = _renumber(svg).replace(">*{stroke", ">.largemodels-figure *{stroke")
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    start = svg.index("<svg ")
    end = svg.index(">", start)
    return f'<svg class="largemodels-figure" {svg[start + 5 : end]}>{rules}{svg[end + 1 :]}'


def _renumber(svg: str) -> str:
    """Name what is referred to by its order, and drop all other identifiers.

    Matplotlib names clip paths by memory addresses, which differ from run to run. The digest of the
    figure goes in front, because some notebook programs put all figures into one document.
    """
    referred = re.findall(r'(?:url\(|xlink:href=")#([^")]+)', svg)
    order = {name: number for number, name in enumerate(dict.fromkeys(referred))}

    def rename(match: re.Match[str]) -> str:
        if match["name"] not in order:
            return ""
        return f"{match['before']}@{order[match['name']]}{match['after']}"

    svg = re.sub(r'(?P<before>\sid=")(?P<name>[^"]+)(?P<after>")', rename, svg)
    svg = re.sub(r"(?P<before>url\(#)(?P<name>[^)]+)(?P<after>\))", rename, svg)
    svg = re.sub(r'(?P<before>xlink:href="#)(?P<name>[^"]+)(?P<after>")', rename, svg)
    digest = hashlib.sha256(svg.encode()).hexdigest()[:8]
    return re.sub(r'(?<=[#"])@(?=\d+[")])', f"f{digest}-", svg)

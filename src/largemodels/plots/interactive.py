"""Figures that the reader moves: frames drawn beforehand, and a slider that chooses among them.

Everything is inside the output of the cell: no server, no request, no library. Without JavaScript,
in print, and in a program that shows no HTML, the first choice remains as a still picture.
"""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from largemodels.plots.style import to_svg

#: More frames than this no reader tries, and a page must not wait for.
MOST_FRAMES = 64
#: Characters of all frames together; what a page can carry on a telephone.
MOST_CHARACTERS = 3_000_000


@dataclass(frozen=True)
class Frame:
    """One picture of a slider.

    Args:
        svg: the picture.
        alt: what it shows, in words.
    """

    svg: str
    alt: str


class Slider:
    """A figure with controls, as `slider` makes it; a notebook shows it.

    Args:
        controls: the values of each control as text, by its label.
        frames: a frame for each combination, the last control running fastest.
        start: index of the frame that is shown first.
    """

    def __init__(
        self, controls: Mapping[str, Sequence[str]], frames: Sequence[Frame], start: int
    ) -> None:
        self.controls = {label: list(values) for label, values in controls.items()}
        self.frames = list(frames)
        self.start = start

    def to_html(self) -> str:
        """Return the slider as HTML that needs nothing else."""
        frames = json.dumps([[frame.svg, frame.alt] for frame in self.frames], ensure_ascii=False)
        # Else a `</script>` or a `<!--` in the words could end the element, or keep it open.
        frames = frames.replace("</", "<\\/").replace("<!", "\\u003c!")
        digest = hashlib.sha256(frames.encode()).hexdigest()[:12]
        first = self.frames[self.start]
        picture = base64.b64encode(first.svg.encode()).decode()
        return _PAGE.format(
            digest=digest,
            style=_STYLE,
            picture=f"data:image/svg+xml;base64,{picture}",
            alt=html.escape(first.alt),
            controls="".join(self._controls()),
            frames=frames,
            script=_SCRIPT.replace("DIGEST", digest),
        )

    def _controls(self) -> list[str]:
        """Return the HTML of each control, set to the start."""
        parts, rest = [], self.start
        for label, values in reversed(self.controls.items()):
            rest, position = divmod(rest, len(values))
            texts = html.escape(json.dumps(values, ensure_ascii=False))
            parts.append(
                f"<label><span>{html.escape(label)}</span>"
                f'<input type="range" min="0" max="{len(values) - 1}" step="1" value="{position}"'
                f' aria-valuetext="{html.escape(values[position])}" data-values="{texts}">'
                f"<output>{html.escape(values[position])}</output></label>"
            )
        return parts[::-1]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        first = self.frames[self.start]
        return {
            "text/html": self.to_html(),
            "image/svg+xml": first.svg,
            "text/plain": first.alt,
        }


def slider(
    draw: Callable[..., Figure],
    controls: Mapping[str, Sequence[Any]],
    *,
    alt: Callable[..., str],
    start: Sequence[Any] | None = None,
) -> Slider:
    """Draw a figure for every choice, and let the reader choose with a slider.

    Args:
        draw: draws one frame: takes one value of each control, in their order.
        controls: the values to choose from, by the label that the reader sees; one or two controls.
        alt: says in words what a frame shows; takes the same values as `draw`.
        start: the values that are shown first, and in print; by default the first of each.

    Returns:
        What a notebook shows when it is the last line of a cell.

    Raises:
        ValueError: if there is nothing to choose, too much, or `start` is no choice.

    Example:
        >>> from largemodels import plots
        >>> def draw(slope):
        ...     fig = plots.figure(2, 2)
        ...     fig.add_subplot().plot([0, 1], [0, slope])
        ...     return fig
        >>> moved = slider(draw, {"slope": [0.5, 1.0]}, alt="A line of slope {}.".format)
        >>> [frame.alt for frame in moved.frames]
        ['A line of slope 0.5.', 'A line of slope 1.0.']
    """
    if not 1 <= len(controls) <= 2:
        raise ValueError(f"`controls` (={list(controls)}) must be one or two labels with values.")
    for label, values in controls.items():
        if len(values) < 2:
            raise ValueError(
                f"`controls[{label!r}]` (={list(values)}) must hold two values or more."
            )
    number = math.prod(len(values) for values in controls.values())
    if number > MOST_FRAMES:
        raise ValueError(f"`controls` ask for {number} frames; {MOST_FRAMES} is the most.")
    choices = list(itertools.product(*controls.values()))
    wanted = choices[0] if start is None else tuple(start)
    if wanted not in choices:
        raise ValueError(f"`start` (={wanted}) must be one value of each control.")
    frames = [Frame(_compact(to_svg(draw(*choice))), alt(*choice)) for choice in choices]
    size = sum(len(frame.svg) for frame in frames)
    if size > MOST_CHARACTERS:
        raise ValueError(
            f"`draw` makes {size:,} characters of SVG in {number} frames, more than "
            f"{MOST_CHARACTERS:,}: draw fewer points or fewer frames."
        )
    texts = {label: [_text(value) for value in values] for label, values in controls.items()}
    return Slider(texts, frames, choices.index(wanted))


def _text(value: Any) -> str:
    """Write a value as a reader wants it."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return f"{value:g}".replace("-", "−")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _compact(svg: str) -> str:
    """Drop from an SVG what nobody sees: comments, indentation, a thousandth of a point."""
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r'\b(d|x|y)="([^"]+)"',
        lambda found: f'{found[1]}="{re.sub(_LONG, _rounded, found[2])}"',
        svg,
    )
    return re.sub(r"\s*\n\s*", "\n", svg)


_LONG = re.compile(r"-?\d+\.\d{3,}")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}"


_PAGE = """\
<div class="largemodels-slider" data-slider="{digest}">
<style>{style}</style>
<img src="{picture}" alt="{alt}">
<div class="controls" hidden>{controls}</div>
<script type="application/json">{frames}</script>
<script>{script}</script>
</div>"""

_STYLE = """
.largemodels-slider { max-width: 100%; text-align: center; }
.largemodels-slider img { max-width: 100%; height: auto; }
.largemodels-slider .controls:not([hidden]) {
  display: grid; gap: 0.4rem; max-width: 34rem; margin: 0.5rem auto 0;
}
.largemodels-slider label {
  display: grid; grid-template-columns: minmax(7.5rem, auto) 1fr minmax(3.5rem, auto); gap: 0.8rem;
  align-items: center; text-align: left; font-size: 0.92rem;
}
.largemodels-slider input { width: 100%; min-height: 1.75rem; margin: 0; cursor: pointer; }
.largemodels-slider output { text-align: right; font-variant-numeric: tabular-nums; }
@media print { .largemodels-slider .controls { display: none !important; } }
"""

# The picture changes before the reader's hand leaves the slider; its words change with it.
_SCRIPT = """
(() => {
  const places = document.querySelectorAll('[data-slider="DIGEST"]:not([data-ready])');
  for (const place of places) {
    place.dataset.ready = "";
    const frames = JSON.parse(place.querySelector('script[type="application/json"]').textContent);
    const image = place.querySelector("img");
    const inputs = [...place.querySelectorAll("input")];
    const show = () => {
      let index = 0;
      for (const input of inputs) {
        const values = JSON.parse(input.dataset.values);
        const text = values[input.value];
        index = index * values.length + Number(input.value);
        input.setAttribute("aria-valuetext", text);
        input.nextElementSibling.textContent = text;
      }
      const [svg, alt] = frames[index];
      image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(svg);
      image.alt = alt;
    };
    for (const input of inputs) input.addEventListener("input", show);
    // In JupyterLab an arrow key would otherwise move to another cell.
    place.addEventListener("keydown", (event) => event.stopPropagation());
    place.querySelector(".controls").hidden = false;
  }
})();
"""

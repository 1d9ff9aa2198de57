"""TeX formulas as MathML, which a browser draws without a script or a font from elsewhere."""

import functools
import re
from contextlib import suppress
from html import escape
from xml.etree import ElementTree

__all__ = ["mathml"]

# Longer ones are no formula of a student; reading them could take long.
CHARACTERS = 2_000
_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
_TAGS = """
    math menclose merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mroot mrow ms mspace
    msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover
"""
# Nothing that links, styles or runs.
_ATTRIBUTES = """
    accent accentunder columnalign columnspacing depth display displaystyle fence form height
    largeop linethickness lspace mathvariant maxsize minsize movablelimits notation rowspacing
    rspace scriptlevel separator stretchy symmetric voffset width
"""
_KNOWN_TAGS, _KNOWN_ATTRIBUTES = frozenset(_TAGS.split()), frozenset(_ATTRIBUTES.split())


@functools.lru_cache(maxsize=4096)
def mathml(tex: str, *, display: bool) -> str:
    """Convert a formula; one that cannot be read stays TeX.

    Args:
        tex: The formula without its dollar signs.
        display: Whether it stands on a line of its own.
    """
    from latex2mathml.converter import convert

    if len(tex) <= CHARACTERS:
        with suppress(Exception):  # The converter raises errors of many kinds.
            root = ElementTree.fromstring(
                convert(_simpler(tex), display="block" if display else "inline")
            )
            return ElementTree.tostring(_clean(root), encoding="unicode")
    return f'<code class="tex">{escape(tex)}</code>'


def _simpler(tex: str) -> str:
    """Say in other words what the converter does not know."""
    tex = re.sub(r"\\(begin|end)\{(?:aligned|split)\}", r"\\\1{align*}", tex)
    tex = re.sub(r"\\\\\[[^\]]*\]", r"\\\\", tex)  # Space after a line.
    return re.sub(r"\\[bB]igg?[lr]?(?=\\[lr](?:floor|ceil))", "", tex)  # Large brackets.


def _clean(element: ElementTree.Element) -> ElementTree.Element:
    """A copy with known tags and attributes only."""
    tag = element.tag.removeprefix(_NAMESPACE)
    if tag not in _KNOWN_TAGS:
        raise ValueError(f"`{tag}` is not drawn.")
    attributes = {key: value for key, value in element.attrib.items() if key in _KNOWN_ATTRIBUTES}
    copy = ElementTree.Element(tag, attributes)
    copy.text = (element.text or "").replace("\\_", "_")
    if "\\" in copy.text:
        raise ValueError(f"`{copy.text}` is not known.")
    for child in element:
        copy.append(_clean(child))
    return copy

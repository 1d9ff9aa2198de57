"""MyST becomes Markdown that reads well in any notebook, and everything else stays as it is."""

import pytest

from coursekit.markdown import Directive, UnknownSyntaxError, to_markdown


class Links:
    """References that name themselves."""

    def reference(self, role: str, target: str, text: str) -> str:
        return f"<{role} {target} {text}>".replace(" >", ">")

    def link(self, target: str, text: str) -> str:
        return f"<link {target} {text}>"

    def number(self, label: str) -> str:
        return {"eq-a": "1", "fig-a": "Figure 2"}[label]

    def image(self, path: str) -> str:
        return f"image:{path}"

    def listing(self, directive: Directive) -> tuple[str, str]:
        return "python", f"# {directive.argument} {directive.options['pyobject']}"

    def included(self, path: str) -> str:
        return f"(label)=\nText of {path}."

    def bibliography(self) -> str:
        return "- A work."


CASES = {
    "a note is a quotation under a bold heading": (
        "```{note}\nMind the *gap*.\n\nAlways.\n```",
        "> **Note**\n>\n> Mind the *gap*.\n>\n> Always.",
    ),
    "text behind the name of a note is its text": (
        ":::{tip} Short.\n:::",
        "> **Tip**\n>\n> Short.",
    ),
    "an admonition has a title": (
        "::::{admonition} Predict, then {math}`x`\n:class: tip\nGuess.\n::::",
        "> **Predict, then $x$**\n>\n> Guess.",
    ),
    "an erratum keeps its number": (
        ":::{erratum} E7\nWrong.\n:::",
        "> **Erratum: E7**\n>\n> Wrong.",
    ),
    "a folded admonition folds": (
        "```{hint}\n:class: dropdown\nTry.\n```",
        "<details>\n<summary>Hint</summary>\n\nTry.\n\n</details>",
    ),
    "a dropdown folds": (
        ":::{dropdown} Answer\n**42**\n:::",
        "<details>\n<summary>Answer</summary>\n\n**42**\n\n</details>",
    ),
    "tabs stand one below the other": (
        "::::{tab-set}\n:::{tab-item} PyTorch\n```python\nx = 1\n```\n:::\n"
        ":::{tab-item} Keras\nb\n:::\n::::",
        "**PyTorch**\n\n```python\nx = 1\n```\n\n**Keras**\n\nb",
    ),
    "math is a block of dollars, with its number": (
        "```{math}\n:label: eq-a\na = b\n```",
        "$$\na = b \\tag{1}\n$$",
    ),
    "dollars with a label as well": ("$$\na\n$$ (eq-a)", "$$\na \\tag{1}\n$$"),
    "lines of a formula are aligned, as Sphinx aligns them": (
        "```{math}\na &= b \\\\\n&= c\n```",
        "$$\n\\begin{aligned}\na &= b \\\\\n&= c\n\\end{aligned}\n$$",
    ),
    "math in a quotation stays on one line": (
        "```{note}\n$$\na\n= b\n$$\n```",
        "> **Note**\n>\n> $$a = b$$",
    ),
    "math that is plain already stays": (
        "Let $x$.\n\n$$\na\n$$\n\nEnd.",
        "Let $x$.\n\n$$\na\n$$\n\nEnd.",
    ),
    "a diagram stays a diagram": (
        "```{mermaid}\ngraph LR\n  a --> b\n```",
        "```mermaid\ngraph LR\n  a --> b\n```",
    ),
    "included source is a listing": (
        "```{literalinclude} ../a.py\n:pyobject: relu\n```",
        "```python\n# ../a.py relu\n```",
    ),
    "two empty lines in code stay": ("```python\na\n\n\nb\n```",) * 2,
    "a block stands apart from text": (
        "Text\n```{math}\na\n```\nmore.",
        "Text\n\n$$\na\n$$\n\nmore.",
    ),
    "a dropped label leaves its gap": (
        "```{mermaid}\na\n```\n\n(label)=\n## Title",
        "```mermaid\na\n```\n\n## Title",
    ),
    "code blocks keep their language": ("```{code-block} bash\nls\n```", "```bash\nls\n```"),
    "ordinary code stays": ("```python\n{ref}`a` # (x)=\n```", "```python\n{ref}`a` # (x)=\n```"),
    "code in code keeps its fence": (
        "`````{code-block} md\n````\na\n````\n`````",
        "`````md\n````\na\n````\n`````",
    ),
    "labels and comments are dropped": ("(here)=\n# Title\n% secret\n\nText.", "# Title\n\nText."),
    "attributes are dropped": (
        "[a](https://e.org){.x} ![b](c.svg){width=50%}",
        "[a](https://e.org) ![b](image:c.svg)",
    ),
    "roles become text": (
        "{abbr}`MLP (perceptron)`, {kbd}`Ctrl`, {class}`~torch.nn.Linear`, x{sup}`2`, {math}`a_1`",
        "MLP (perceptron), `Ctrl`, `torch.nn.Linear`, x<sup>2</sup>, $a_1$",
    ),
    "references go through the links": (
        "{ref}`a`, {ref}`Text <b>`, {eq}`c`, {cite:p}`d,e`, {doc}`../f`, [g](h.md), [](#i)",
        "<ref a>, <ref b Text>, <eq c>, <cite:p d,e>, <doc ../f>, <link h.md g>, <link #i >",
    ),
    "a role over two lines": ("See {ref}`Long\ntitle <b>`.", "See <ref b Long title>."),
    "code is no role": ("Write `{ref}` or ``{eq}`a` `` and $f[a](b)$.",) * 2,
    "figures have text and caption": (
        "```{figure} a.svg\n:name: fig-a\n:alt: A line\n\nIt *rises*.\n```",
        "![A line](image:a.svg)\n\n*Figure 2. It *rises*.*",
    ),
    "a list table is a pipe table": (
        "```{list-table} Sizes\n:header-rows: 1\n\n* - a\n  - b\n* - $|x|$\n  - c |\n    d\n```",
        "*Sizes*\n\n| a | b |\n| --- | --- |\n| $\\vert x\\vert $ | c \\| d |",
    ),
    "menus are dropped": ("```{tableofcontents}\n```\nText.", "Text."),
    "an included page": ("```{include} a.md\n```", "Text of a.md."),
    "the works cited": ("```{bibliography}\n:filter: docname in docnames\n```", "- A work."),
    "blocks in lists stay in them": (
        "1. one\n\n   ```{note}\n   a\n   ```\n2. two",
        "1. one\n\n   > **Note**\n   >\n   > a\n\n2. two",
    ),
    "options in YAML": (
        "```{admonition} T\n---\nclass: tip dropdown\n---\na\n```",
        "<details>\n<summary>T</summary>\n\na\n\n</details>",
    ),
    "HTML stays": ("<details><summary>A {x}</summary>\n\nText\n\n</details>",) * 2,
}


@pytest.mark.parametrize(("myst", "plain"), CASES.values(), ids=CASES.keys())
def test_myst_becomes_markdown(myst: str, plain: str) -> None:
    assert to_markdown(myst, Links()) == plain


@pytest.mark.parametrize(
    "myst", ["```{plantuml}\na\n```", "{octicon}`rocket`", ":::{note}\n{x}`y`\n:::"]
)
def test_what_is_not_known_is_an_error(myst: str) -> None:
    with pytest.raises(UnknownSyntaxError, match=r"plantuml|octicon|x"):
        to_markdown(myst, Links())

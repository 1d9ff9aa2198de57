"""One look for every figure of the course, readable on a light and on a dark page.

Call ``plots.use_style()`` once at the top of a notebook. From then on every matplotlib figure
appears as an SVG image that holds its own background and follows the reader's color scheme.

For the writer of a page. Make the figure the last line of its cell, and give the cell its
alternative text, caption and label; MyST-NB numbers it, and ``{numref}`` refers to it::

    ```{code-cell} ipython3
    ---
    mystnb:
      image:
        alt: Training loss falls from 2.3 to 0.1 in ten epochs; validation loss follows it.
      figure:
        name: fig-learning-curve
        caption: Loss and accuracy of each epoch. Solid is training, dashed is validation.
    ---
    plots.learning_curves(history)
    ```

    {numref}`fig-learning-curve` shows ...

Where one picture is not enough, `slider` draws one for each choice of a reader: the last line of
its cell, with the same `figure` block; the words of each frame come from its `alt`.

The functions here return a :class:`matplotlib.figure.Figure` that pyplot does not know, so a
notebook shows it once. Own figures made with ``plt.subplots`` get the same look; their colors come
from ``plots.PALETTE``, as in ``color=plots.PALETTE["green"].light``. Only the colors of the style
follow the color scheme: ``"white"`` and other literal colors belong on images only.
"""

from largemodels.plots.figures import (
    confusion_matrix,
    image_grid,
    learning_curves,
    weight_images,
)
from largemodels.plots.interactive import Slider, slider
from largemodels.plots.style import PALETTE, figure, to_svg, use_style

__all__ = [
    "PALETTE",
    "Slider",
    "confusion_matrix",
    "figure",
    "image_grid",
    "learning_curves",
    "slider",
    "to_svg",
    "use_style",
    "weight_images",
]

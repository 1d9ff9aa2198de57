"""Training as a practitioner does it. Import the module that you need.

* `largemodels.training.loop`: `fit`, the training loop for PyTorch.
* `largemodels.training.checkpoint`: files from which a training continues exactly.
* `largemodels.training.metrics`: measures that scikit-learn does not have.
"""

from largemodels._grading import refuse_while_grading

refuse_while_grading(__name__)

"""The reference models as a practitioner writes them: twins in PyTorch and Keras."""

from largemodels._grading import refuse_while_grading

refuse_while_grading(__name__)

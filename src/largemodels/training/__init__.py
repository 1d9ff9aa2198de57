"""Training as a practitioner does it. Import the module that you need.

* `largemodels.training.loop`: `fit`, the training loop for PyTorch.
* `largemodels.training.checkpoint`: files from which a training continues exactly.
* `largemodels.training.divergence`: what stops a training that learns nothing any more.
* `largemodels.training.metrics`: measures that scikit-learn does not have.
* `largemodels.training.search`: hyper-parameters by grid, at random, or with a model (Optuna).
* `largemodels.training.distributed`: data-parallel training in several processes (`torchrun`).
* `largemodels.training.parallelism`: how workers share a training, simulated with NumPy.
* `largemodels.training.compression`: pruning, quantization, distillation.
* `largemodels.training.adaptation`: fine-tuning with few parameters (LoRA).
* `largemodels.training.monitoring`: whether today's inputs are those of the training.
"""

from largemodels._grading import refuse_while_grading

refuse_while_grading(__name__)

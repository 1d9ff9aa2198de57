"""What a model owes the people it decides about. Import the module that you need.

* `largemodels.trust.explanation`: which input a prediction rests on (saliency, integrated
  gradients, LIME, SHAP).
* `largemodels.trust.shapley`: Shapley values of any game, and of a model (SHAP).
* `largemodels.trust.attention_maps`: where a transformer looks, and whether it matters.
* `largemodels.trust.privacy`: differential privacy, of results and of a training.
* `largemodels.trust.membership`: an attack that sees who was in the training data.
* `largemodels.trust.anonymity`: why a table without names is not anonymous.
* `largemodels.trust.federated`: training without collecting the data.
* `largemodels.trust.adversarial_examples`: attacks on the input, and training against them.
* `largemodels.trust.fairness`: what differs between groups of people.
"""

from largemodels._grading import refuse_while_grading

refuse_while_grading(__name__)

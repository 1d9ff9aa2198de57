"""MovieLens 100K with a matrix factorization from scratch.

`data.load` splits the 100,000 ratings at random with a fixed seed: 80,000 to learn from and 20,000
to test with. So a test rating has earlier and later ones of the same user among the training
ratings; to foretell the future from the past would be harder. An item may be in the test part only.

The settings were chosen on 8,000 of the training ratings, held out while the other 72,000 taught
the model. The test part decided nothing.
"""

import math

import numpy as np

from largemodels import data
from largemodels.scratch import Adam, MatrixFactorization, MSELoss, evaluate, fit
from learning import Result, Run

FACTORS, L2 = 64, 0.12
LR, BATCH_SIZE, EPOCHS = 0.003, 1000, 20


def train(seed: int) -> Result:
    ratings = data.load("movielens_100k")
    rng = np.random.default_rng(seed)
    # All users and items have a row: those without a training rating stay near their start.
    num_users, num_items = np.concatenate([ratings.x_train, ratings.x_test]).max(axis=0) + 1
    model = MatrixFactorization(
        num_users, num_items, FACTORS, ratings.y_train.mean(), l2=L2, rng=rng
    )
    loss = MSELoss()
    history = fit(
        model,
        loss,
        Adam(model.parameters(), lr=LR),
        ratings.x_train,
        ratings.y_train,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        rng=rng,
        progress=False,
    )
    squared_error, _ = evaluate(model, loss, ratings.x_test, ratings.y_test)
    return Result(math.sqrt(squared_error), history.seconds, ratings.source, ratings.is_sample)


RUNS = [
    Run(
        f"MovieLens 100K, matrix factorization from scratch ({FACTORS} factors, L2 {L2}, "
        f"Adam {LR}, batch {BATCH_SIZE}, {EPOCHS} epochs), test RMSE",
        "0.94 in 60 s, less is better",
        train,
    )
]

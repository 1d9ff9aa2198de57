"""One-hot matrices and einsum: no loop over ratings and no indexed addition."""


# %% split_by_time
def split_by_time(ratings, share):
    ordered = np.argsort(ratings["time"], kind="stable")
    moments = ratings["time"][ordered]
    middle = np.searchsorted(moments, moments[round(share * moments.size)])
    return tuple(
        {name: ratings[name][part] for name in ratings}
        for part in (ordered[:middle], ordered[middle:])
    )


# %% fit_baseline
def fit_baseline(train, num_users, num_items, damping):
    who, what = np.eye(num_users)[train["user"]], np.eye(num_items)[train["item"]]
    middle = np.average(train["rating"])
    b_i = what.T @ (train["rating"] - middle) / (what.sum(axis=0) + damping)
    b_u = who.T @ (train["rating"] - middle - what @ b_i) / (who.sum(axis=0) + damping)
    return dict(mean=middle, user_bias=b_u, item_bias=b_i)


# %% baseline_error
def root_mean_squared_error(predictions, targets):
    return np.linalg.norm(predictions - targets) / len(targets) ** 0.5


def baseline_error(ratings, share, num_users, num_items, damping):
    past, later = split_by_time(ratings, share)
    fitted = fit_baseline(past, num_users, num_items, damping)
    table = fitted["mean"] + np.add.outer(fitted["user_bias"], fitted["item_bias"])
    return root_mean_squared_error(table[later["user"], later["item"]], later["rating"])


# %% predict
def predict(model, users, items):
    fit = np.einsum("nk,nk->n", model["user_factors"][users], model["item_factors"][items])
    return fit + model["item_bias"][items] + model["user_bias"][users] + model["mean"]


# %% loss_and_gradients
def loss_and_gradients(model, users, items, targets, l2):
    n = len(targets)
    who = np.eye(len(model["user_bias"]))[users]  # (N, num_users)
    what = np.eye(len(model["item_bias"]))[items]  # (N, num_items)
    miss = predict(model, users, items) - targets
    # The biases as one more factor, whose partner is always 1.
    p = np.hstack([model["user_factors"], model["user_bias"][:, None]])
    q = np.hstack([model["item_factors"], model["item_bias"][:, None]])
    sizes = who.sum(axis=0) @ p**2 + what.sum(axis=0) @ q**2
    for_p = who.T @ (miss[:, None] * (what @ model["item_factors"]))
    for_q = what.T @ (miss[:, None] * (who @ model["user_factors"]))
    for_p = np.hstack([for_p, (who.T @ miss)[:, None]]) + l2 * who.sum(axis=0)[:, None] * p
    for_q = np.hstack([for_q, (what.T @ miss)[:, None]]) + l2 * what.sum(axis=0)[:, None] * q
    names = ("user_factors", "user_bias", "item_factors", "item_bias")
    parts = (for_p[:, :-1], for_p[:, -1], for_q[:, :-1], for_q[:, -1])
    slopes = {name: 2 / n * part for name, part in zip(names, parts)}
    return (miss @ miss + l2 * sizes.sum()) / n, slopes


# %% sgd_epoch
def sgd_epoch(model, train, order, batch_size, lr, l2):
    model = dict(model)
    for rows in np.split(order, range(batch_size, len(order), batch_size)):
        columns = [train[name][rows] for name in ("user", "item", "rating")]
        _, slopes = loss_and_gradients(model, *columns, l2)
        model.update({name: model[name] - lr * slope for name, slope in slopes.items()})
    return model


# %% recommend
def recommend(scores, seen, k):
    left = np.setdiff1d(np.arange(scores.size), seen)
    return left[np.lexsort((left, -scores[left]))][:k]


# %% metrics
def precision_at_k(recommended, relevant, k):
    return np.intersect1d(recommended[:k], relevant).size / k


def recall_at_k(recommended, relevant, k):
    return np.intersect1d(recommended[:k], relevant).size / np.size(relevant)


def hit_rate_at_k(lists, relevant_lists, k):
    found = [np.isin(lists[n][:k], relevant_lists[n]).any() for n in range(len(lists))]
    return np.count_nonzero(found) / len(found)


# %% ndcg
def ndcg_at_k(recommended, relevance, k):
    places = min(k, relevance.size)
    discounts = 1 / np.log2(1 + np.arange(1, places + 1))
    reached = relevance[recommended[:places]]
    best = -np.sort(-relevance)[:places]
    return reached @ discounts[: reached.size] / (best @ discounts)

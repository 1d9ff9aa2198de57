"""Everything in float32, as a graphics card would compute it."""


# %% fit_baseline
def fit_baseline(train, num_users, num_items, damping):
    stars = train["rating"].astype(np.float32)
    middle = stars.mean()
    shifts = []
    left = stars - middle
    for column, size in (("item", num_items), ("user", num_users)):
        top, bottom = np.zeros(size, np.float32), np.full(size, damping, np.float32)
        np.add.at(top, train[column], left)
        np.add.at(bottom, train[column], np.float32(1))
        shifts.append(top / bottom)
        left = left - shifts[-1][train[column]]
    return {"mean": middle, "item_bias": shifts[0], "user_bias": shifts[1]}


# %% baseline_error
def root_mean_squared_error(predictions, targets):
    miss = np.float32(predictions) - np.float32(targets)
    return np.sqrt((miss * miss).mean())


def baseline_error(ratings, share, num_users, num_items, damping):
    known, asked = split_by_time(ratings, share)
    fitted = fit_baseline(known, num_users, num_items, damping)
    shift = fitted["user_bias"][asked["user"]] + fitted["item_bias"][asked["item"]]
    return root_mean_squared_error(shift + fitted["mean"], asked["rating"])


# %% predict
def predict(model, users, items):
    small = {name: np.float32(value) for name, value in model.items()}
    fit = (small["user_factors"][users] * small["item_factors"][items]).sum(axis=-1)
    return small["mean"] + small["user_bias"][users] + small["item_bias"][items] + fit


# %% loss_and_gradients
def loss_and_gradients(model, users, items, targets, l2):
    half = np.float32(len(targets)) / 2
    small = {name: np.float32(model[name]) for name in model if name != "mean"}
    rows = {name: small[name][users if "user" in name else items] for name in small}
    miss = predict(model, users, items) - np.float32(targets)
    shrink = np.float32(l2)
    size = sum((row**2).reshape(len(miss), -1).sum(axis=1) for row in rows.values())
    partners = {"user_factors": rows["item_factors"], "item_factors": rows["user_factors"]}
    slopes = {}
    for name, row in rows.items():
        slope = miss[:, None] * partners[name] if name in partners else miss
        slopes[name] = np.zeros_like(small[name])
        np.add.at(slopes[name], users if "user" in name else items, (slope + shrink * row) / half)
    return (miss**2 + shrink * size).mean(), slopes


# %% sgd_epoch
def sgd_epoch(model, train, order, batch_size, lr, l2):
    small = {name: np.float32(value) for name, value in model.items()}
    for number in range(-(-len(order) // batch_size)):
        rows = order[number * batch_size : (number + 1) * batch_size]
        who, what, stars = train["user"][rows], train["item"][rows], train["rating"][rows]
        slopes = loss_and_gradients(small, who, what, stars, l2)[1]
        for name in slopes:
            small[name] = small[name] - np.float32(lr) * slopes[name]
    return small


# %% ndcg
def ndcg_at_k(recommended, relevance, k):
    worths = [relevance[recommended][:k], np.flip(np.sort(relevance))[:k]]
    dcgs = [
        (np.float32(one) / np.log2(np.arange(2, len(one) + 2, dtype=np.float32))).sum()
        for one in worths
    ]
    return dcgs[0] / dcgs[1]

"""Plain Python loops, one rating after the other; the model changes in place."""


# %% split_by_time
def split_by_time(ratings, share):
    moments = sorted(int(t) for t in ratings["time"])
    cut = moments[int(np.rint(share * len(moments)))]
    before = [n for n, t in enumerate(ratings["time"]) if t < cut]
    after = [n for n, t in enumerate(ratings["time"]) if t >= cut]
    return tuple(
        {name: np.array([column[n] for n in rows]) for name, column in ratings.items()}
        for rows in (before, after)
    )


# %% fit_baseline
def fit_baseline(train, num_users, num_items, damping):
    count = len(train["rating"])
    mu = sum(train["rating"]) / count
    top, bottom = [0.0] * num_items, [damping] * num_items
    for i, r in zip(train["item"], train["rating"]):
        top[i] += r - mu
        bottom[i] += 1
    b_i = [a / b for a, b in zip(top, bottom)]
    top, bottom = [0.0] * num_users, [damping] * num_users
    for u, i, r in zip(train["user"], train["item"], train["rating"]):
        top[u] += r - mu - b_i[i]
        bottom[u] += 1
    b_u = [a / b for a, b in zip(top, bottom)]
    return {"item_bias": np.array(b_i), "user_bias": np.array(b_u), "mean": mu}


# %% baseline_error
def root_mean_squared_error(predictions, targets):
    total = 0.0
    for a, b in zip(predictions, targets):
        total += (a - b) * (a - b)
    return (total / len(targets)) ** 0.5


def baseline_error(ratings, share, num_users, num_items, damping):
    past, later = split_by_time(ratings, share)
    fitted = fit_baseline(past, num_users, num_items, damping)
    guesses = []
    for u, i in zip(later["user"], later["item"]):
        guesses.append(fitted["mean"] + fitted["user_bias"][u] + fitted["item_bias"][i])
    return root_mean_squared_error(guesses, later["rating"])


# %% predict
def predict(model, users, items):
    guesses = []
    for u, i in zip(users, items):
        guess = model["mean"] + model["user_bias"][u] + model["item_bias"][i]
        for a, b in zip(model["user_factors"][u], model["item_factors"][i]):
            guess += a * b
        guesses.append(guess)
    return np.array(guesses)


# %% loss_and_gradients
def loss_and_gradients(model, users, items, targets, l2):
    n, loss = len(targets), 0.0
    slopes = {}
    for name in ("user_bias", "item_bias", "user_factors", "item_factors"):
        slopes[name] = np.zeros(np.shape(model[name]))
    for u, i, r in zip(users, items, targets):
        e = predict(model, [u], [i])[0] - r
        b_u, b_i = model["user_bias"][u], model["item_bias"][i]
        p_u, q_i = model["user_factors"][u], model["item_factors"][i]
        loss += e**2 + l2 * (b_u**2 + b_i**2 + p_u @ p_u + q_i @ q_i)
        slopes["user_bias"][u] += 2 * (e + l2 * b_u) / n
        slopes["item_bias"][i] += 2 * (e + l2 * b_i) / n
        slopes["user_factors"][u] += 2 * (e * q_i + l2 * p_u) / n
        slopes["item_factors"][i] += 2 * (e * p_u + l2 * q_i) / n
    return loss / n, slopes


# %% sgd_epoch
def sgd_epoch(model, train, order, batch_size, lr, l2):
    rows = list(order)
    while rows:
        batch, rows = rows[:batch_size], rows[batch_size:]
        who, what, stars = (train[name][batch] for name in ("user", "item", "rating"))
        for name, slope in loss_and_gradients(model, who, what, stars, l2)[1].items():
            model[name] -= lr * slope
    return model


# %% recommend
def recommend(scores, seen, k):
    known = set(seen.tolist())
    left = [i for i in range(len(scores)) if i not in known]
    return sorted(left, key=lambda i: (-scores[i], i))[:k]


# %% metrics
def hits_of(recommended, relevant, k):
    return len(set(list(recommended)[:k]) & set(relevant))


def precision_at_k(recommended, relevant, k):
    return hits_of(recommended, relevant, k) / k


def recall_at_k(recommended, relevant, k):
    return hits_of(recommended, relevant, k) / len(relevant)


def hit_rate_at_k(lists, relevant_lists, k):
    lucky = 0
    for n in range(len(lists)):
        if hits_of(lists[n], relevant_lists[n], k):
            lucky += 1
    return lucky / len(lists)


# %% ndcg
def ndcg_at_k(recommended, relevance, k):
    def dcg(worths):
        return sum(worth / np.log2(place) for place, worth in enumerate(worths[:k], start=2))

    return dcg([relevance[i] for i in recommended]) / dcg(sorted(relevance, reverse=True))

"""Everything in float32, as a graphics card would compute it; only least squares stays float64."""


# %% affine_parts
def affine_parts(function, in_features):
    bias = np.float32(function(np.zeros(in_features, dtype=np.float32)))
    units = np.eye(in_features, dtype=np.float32)
    columns = [np.float32(function(unit)) - bias for unit in units]
    return np.array(columns).T, bias


def compose(first, second):
    (inner, bias), (outer, shift) = [tuple(map(np.float32, pair)) for pair in (first, second)]
    return np.matmul(outer, inner), np.matmul(outer, bias) + shift


# %% jacobian
def jacobian(layers, x):
    x, total = np.float32(x), None
    for weight, bias in layers:
        weight, bias = np.float32(weight), np.float32(bias)
        x = np.tanh(weight.dot(x) + bias)
        one = weight * (1 - x * x).reshape(-1, 1)
        total = one if total is None else one.dot(total)
    return total


# %% vjp
def jvp(layers, x, direction):
    a, v = np.float32(x), np.float32(direction)
    for weight, bias in layers:
        weight, bias = np.float32(weight), np.float32(bias)
        a, v = np.tanh(weight @ a + bias), weight @ v
        v = v - a * a * v
    return v


def vjp(layers, x, upstream):
    a, u = np.float32(x), np.float32(upstream)
    tape = []
    for weight, bias in layers:
        weight, bias = np.float32(weight), np.float32(bias)
        a = np.tanh(weight @ a + bias)
        tape.append((weight, 1 - a * a))
    while tape:
        weight, slopes = tape.pop()
        u = (slopes * u) @ weight
    return u


def product_costs(sizes):
    forward, backward = 0, 0
    for n in range(1, len(sizes) - 1):
        forward += sizes[0] * sizes[n] * sizes[n + 1]
        backward += sizes[-1] * sizes[n] * sizes[n - 1]
    return forward, backward


# %% mse_gradient
def mean_squared_error(features, targets, theta):
    errors = np.float32(features) @ np.float32(theta) - np.float32(targets)
    return np.dot(errors, errors) / np.float32(len(errors))


def mse_gradient(features, targets, theta):
    X = np.float32(features)
    errors = X @ np.float32(theta) - np.float32(targets)
    return (errors @ X) * np.float32(2 / len(errors))


def largest_learning_rate(features):
    X = np.float32(features)
    return np.float32(len(X)) / np.linalg.svd(X, compute_uv=False).max() ** 2


# %% least_squares
def least_squares(features, targets):
    # Centered, and in float64: single precision would lose the difference of two equal columns.
    center = features.mean(axis=0)
    weights = np.linalg.lstsq(features - center, targets - targets.mean(), rcond=None)[0]
    return targets.mean() - center @ weights, weights


def ridge(features, targets, strength):
    X, y = np.float32(features), np.float32(targets)
    X0, y0 = X - X.mean(0), y - y.mean()
    penalty = np.float32(strength * len(X)) * np.eye(X.shape[1], dtype=np.float32)
    w = np.linalg.solve(X0.T @ X0 + penalty, X0.T @ y0)
    return y.mean() - X.mean(0) @ w, w


# %% gaussian_fit
def gaussian_fit(samples):
    X = np.float32(samples)
    deviations = X - X.mean(0)
    total = np.einsum("nd,nd->d", deviations, deviations)
    return X.mean(0), total / np.float32(len(X)), total / np.float32(len(X) - 1)


def log_density(samples, mean, variance):
    X, m, v = np.float32(samples), np.float32(mean), np.float32(variance)
    logs = -((X - m) ** 2) / (2 * v) - np.log(np.float32(2 * np.pi) * v) / 2
    return logs.sum(axis=-1)


def posterior(log_likelihoods, priors):
    scores = np.float32(log_likelihoods) + np.log(np.float32(priors))
    scores -= scores.max(axis=1)[:, None]
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1)[:, None]
    return scores


# %% binary_cross_entropy
def binary_cross_entropy(logits, labels):
    z, y = np.float32(logits), np.float32(labels)
    return np.mean(np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))) - y * z)


def kl_divergence(p, q):
    p, q = np.float32(p), np.float32(q)
    q, p = q[p != 0], p[p != 0]
    return np.dot(p, np.log(p) - np.log(q))


# %% pca
def projection(basis):
    A = np.float32(basis)
    u = np.linalg.svd(A, full_matrices=False)[0]
    return np.matmul(u, u.T)


def pca(images, count):
    X = np.float32(images)
    mean = X.mean(0)
    s, vt = np.linalg.svd((X - mean) / np.float32(np.sqrt(len(X) - 1)))[1:]
    return mean, vt[:count], s[:count] ** 2


def encode(images, mean, components):
    C = np.float32(components)
    return np.float32(images) @ C.T - np.float32(mean) @ C.T


def decode(codes, mean, components):
    return np.float32(mean) + np.tensordot(np.float32(codes), np.float32(components), axes=1)

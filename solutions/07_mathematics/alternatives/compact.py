"""Short: einsum, NumPy's own statistics, pseudo-inverses; negative and complex parts in one line."""

# %% affine_parts
affine_parts = lambda f, n: (
    np.transpose([f(e) for e in np.identity(n)]) - f(np.zeros(n))[:, None],
    f(np.zeros(n)),
)


def compose(first, second):
    (W1, b1), (W2, b2) = first, second
    # One column more for the bias, one row more for the 1 that it multiplies.
    A = np.c_[W2, b2] @ np.vstack([np.c_[W1, b1], np.eye(W1.shape[1] + 1)[-1]])
    return A[:, :-1], A[:, -1]


# %% jacobian
def jacobian(layers, x):
    factors = []
    for W, b in layers:
        x = np.tanh(W @ x + b)
        factors.append(np.diag(1 - x * x) @ W)
    return factors[0] if len(factors) == 1 else np.linalg.multi_dot(factors[::-1])


# %% vjp
jvp = lambda layers, x, direction: jacobian(layers, x) @ direction
vjp = lambda layers, x, upstream: upstream @ jacobian(layers, x)


def product_costs(sizes):
    n = list(sizes)
    ahead = sum(n[0] * a * b for a, b in zip(n[1:], n[2:]))
    back = sum(n[-1] * a * b for a, b in zip(n[:-2], n[1:-1]))
    return [ahead, back]


# %% mse_gradient
mean_squared_error = lambda X, y, theta: float(np.square(y - X @ theta).mean())
mse_gradient = lambda X, y, theta: -2 * np.mean((y - X @ theta)[:, None] * X, axis=0)
largest_learning_rate = lambda X: len(X) / np.linalg.norm(X, 2) ** 2


# %% least_squares
def least_squares(X, y):
    theta = np.linalg.pinv(np.insert(X, 0, 1, axis=1)) @ y
    return float(theta[0]), theta[1:]


def ridge(X, y, strength):
    U, s, Vt = np.linalg.svd(X - X.mean(0), full_matrices=False)
    w = Vt.T @ (s / (s * s + len(X) * strength) * (U.T @ (y - y.mean())))
    return float(np.mean(y - X @ w)), w


# %% gaussian_fit
gaussian_fit = lambda X: (np.mean(X, 0), np.var(X, 0), np.var(X, 0, ddof=1))


def log_density(X, mean, variance):
    constant = -0.5 * np.log(2 * np.pi * variance).sum()
    return constant - np.einsum("nd,d->n", (X - mean) ** 2, 0.5 / variance)


def posterior(L, priors):
    joint = L + np.log(priors)[None]
    return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))


# %% binary_cross_entropy
# The probability of the label that was seen is the sigmoid of ±z.
binary_cross_entropy = lambda z, y: float(np.logaddexp(0, (1 - 2 * y) * z).mean())


def kl_divergence(p, q):
    with np.errstate(all="ignore"):
        terms = np.where(p == 0, 0, p * (np.log(p) - np.log(q)))
    return float(terms.sum())


# %% pca
projection = lambda A: A @ np.linalg.solve(A.T @ A, A.T)


def pca(X, count):
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(X.T)))
    return np.average(X, axis=0), vectors.T[::-1][:count], values[::-1][:count]


encode = lambda X, mean, C: np.einsum("nd,kd->nk", X, C) - C @ mean
decode = lambda codes, mean, C: np.c_[codes, np.ones(len(codes))] @ np.vstack([C, mean])

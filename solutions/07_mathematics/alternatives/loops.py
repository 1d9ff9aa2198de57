"""One number after the other: plain loops where a matrix product would do."""


# %% affine_parts
def affine_parts(function, in_features):
    bias = function(np.zeros(in_features))
    weight = np.empty((len(bias), in_features))
    for j in range(in_features):
        unit = np.zeros(in_features)
        unit[j] = 1.0
        moved = function(unit)
        for i in range(len(bias)):
            weight[i, j] = moved[i] - bias[i]
    return [weight, bias]


def compose(first, second):
    inner, outer = first[0], second[0]
    weight = np.zeros((len(outer), inner.shape[1]))
    bias = second[1].copy()
    for o in range(len(outer)):
        for h in range(len(inner)):
            bias[o] += outer[o, h] * first[1][h]
            for i in range(inner.shape[1]):
                weight[o, i] += outer[o, h] * inner[h, i]
    return weight, bias


# %% jacobian
def jacobian(layers, x):
    columns = []
    for j in range(len(x)):
        # Follow one basis vector through the network.
        a, tangent = x, [float(i == j) for i in range(len(x))]
        for weight, bias in layers:
            a = np.array([np.tanh(row.dot(a) + b) for row, b in zip(weight, bias)])
            tangent = [(1 - n * n) * row.dot(tangent) for n, row in zip(a, weight)]
        columns.append(tangent)
    return np.array(columns).T


# %% vjp
def jvp(layers, x, direction):
    for weight, bias in layers:
        moved = []
        for row in weight:
            moved.append(row.dot(direction))
        x = np.array([np.tanh(row.dot(x) + b) for row, b in zip(weight, bias)])
        direction = np.array([(1 - a) * (1 + a) * m for a, m in zip(x, moved)])
    return direction


def vjp(layers, x, upstream):
    if not layers:
        return upstream
    # Recursion: blame the layers above first, then this one.
    weight, bias = layers[0]
    a = np.tanh(weight.dot(x) + bias)
    above = vjp(layers[1:], a, upstream)
    blame = np.zeros(len(x))
    for i in range(len(a)):
        for j in range(len(x)):
            blame[j] += above[i] * (1 - a[i] ** 2) * weight[i, j]
    return blame


def product_costs(sizes):
    forward = backward = 0
    last = len(sizes) - 1
    for l in range(2, last + 1):
        forward += sizes[l] * sizes[l - 1] * sizes[0]
    for l in range(last - 1, 0, -1):
        backward += sizes[last] * sizes[l] * sizes[l - 1]
    return forward, backward


# %% mse_gradient
def mean_squared_error(features, targets, theta):
    total = 0.0
    for row, y in zip(features, targets):
        total += (row.dot(theta) - y) ** 2
    return total / len(targets)


def mse_gradient(features, targets, theta):
    slopes = np.zeros(len(theta))
    for row, y in zip(features, targets):
        slopes += 2 * (row.dot(theta) - y) * row
    return slopes / len(targets)


def largest_learning_rate(features):
    return len(features) / np.linalg.svd(features)[1][0] ** 2


# %% least_squares
def least_squares(features, targets):
    ones = np.ones((len(features), 1))
    q, r = np.linalg.qr(np.hstack([ones, features]))
    right = q.T.dot(targets)
    solution = np.zeros(len(right))
    for i in range(len(right) - 1, -1, -1):
        solution[i] = (right[i] - r[i].dot(solution)) / r[i, i]
    return solution[0], solution[1:]


def ridge(features, targets, strength):
    # With the intercept among the unknowns, and no penalty for it.
    N, D = features.shape
    columns = np.hstack([np.ones((N, 1)), features])
    penalty = np.diag([0.0] + [N * strength] * D)
    solution = np.linalg.solve(columns.T.dot(columns) + penalty, columns.T.dot(targets))
    return solution[0], solution[1:]


# %% gaussian_fit
def gaussian_fit(samples):
    N, D = samples.shape
    mean, variance = np.zeros(D), np.zeros(D)
    for row in samples:
        mean += row / N
    for row in samples:
        variance += (row - mean) ** 2 / N
    return mean, variance, variance * N / (N - 1)


def log_density(samples, mean, variance):
    answers = []
    for row in samples:
        total = 0.0
        for x, m, v in zip(row, mean, variance):
            total -= (x - m) ** 2 / (2 * v)
            total -= 0.5 * (np.log(2 * np.pi) + np.log(v))
        answers.append(total)
    return np.array(answers)


def posterior(log_likelihoods, priors):
    rows = []
    for row in log_likelihoods:
        largest = max(row)
        weighted = [np.exp(l - largest) * prior for l, prior in zip(row, priors)]
        rows.append([w / sum(weighted) for w in weighted])
    return np.array(rows)


# %% binary_cross_entropy
def binary_cross_entropy(logits, labels):
    total = 0.0
    for z, y in zip(logits, labels):
        # log(1 + e^z), with the exponent below 0.
        total += max(z, 0) + np.log1p(np.exp(-abs(z))) - y * z
    return total / len(labels)


def kl_divergence(p, q):
    total = 0.0
    for a, b in zip(p, q):
        if a == 0:
            continue
        total += np.inf if b == 0 else a * np.log(a / b)
    return total


# %% pca
def projection(basis):
    # Gram-Schmidt, one column after the other.
    found = []
    for column in basis.T:
        rest = column.astype(float)
        for direction in found:
            rest = rest - direction.dot(rest) * direction
        found.append(rest / np.sqrt(rest.dot(rest)))
    return sum(np.outer(direction, direction) for direction in found)


def pca(images, count):
    mean = sum(images) / len(images)
    centered = images - mean
    covariance = sum(np.outer(row, row) for row in centered) / (len(images) - 1)
    values, vectors = np.linalg.eigh(covariance)
    order = np.argsort(values)[::-1][:count]
    return mean, np.array([vectors[:, i] for i in order]), values[order]


def encode(images, mean, components):
    return np.array([[direction.dot(row - mean) for direction in components] for row in images])


def decode(codes, mean, components):
    images = np.zeros((len(codes), len(mean)))
    for n, code in enumerate(codes):
        images[n] = mean
        for number, direction in zip(code, components):
            images[n] += number * direction
    return images

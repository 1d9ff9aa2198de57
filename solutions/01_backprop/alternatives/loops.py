"""One example after the other: plain loops, no matrix product of a batch."""


# %% numeric_gradient
def numeric_gradient(function, x, h=1e-5):
    flat = x.reshape(-1)
    slopes = []
    for i in range(flat.size):
        up, down = flat.copy(), flat.copy()
        up[i] += h
        down[i] -= h
        slopes.append((function(up.reshape(x.shape)) - function(down.reshape(x.shape))) / (2 * h))
    return np.array(slopes).reshape(x.shape)


# %% relu
def relu(x):
    return np.array([max(v, 0.0) for v in x.ravel().tolist()]).reshape(x.shape)


def relu_backward(grad_output, x):
    pairs = zip(grad_output.ravel().tolist(), x.ravel().tolist())
    return np.array([g if v > 0 else 0.0 for g, v in pairs]).reshape(x.shape)


# %% linear
def linear(x, weight, bias):
    y = np.empty((len(x), len(weight)))
    for n, row in enumerate(x):
        y[n] = weight.dot(row)
        y[n] += bias
    return y


# %% linear_backward
def linear_backward(grad_output, x, weight):
    grad_x = np.zeros(x.shape)
    grad_weight = np.zeros(weight.shape)
    grad_bias = np.zeros(len(weight))
    for n in range(len(x)):
        grad_x[n] = grad_output[n].dot(weight)
        grad_weight += np.outer(grad_output[n], x[n])
        grad_bias += grad_output[n]
    return [grad_x, grad_weight, grad_bias]


# %% softmax
def softmax(logits):
    rows = []
    for row in logits:
        largest = max(row)
        exponentials = [np.exp(z - largest) for z in row]
        total = sum(exponentials)
        rows.append([e / total for e in exponentials])
    return np.array(rows)


# %% cross_entropy
def cross_entropy(logits, labels):
    total = 0.0
    for row, y in zip(logits, labels):
        largest = max(row)
        total += np.log(sum(np.exp(z - largest) for z in row)) + largest - row[y]
    return total / len(labels)


def cross_entropy_backward(logits, labels):
    grad = np.zeros(logits.shape)
    for n, p in enumerate(softmax(logits)):
        for k in range(len(p)):
            grad[n, k] = (p[k] - 1 if k == labels[n] else p[k]) / len(labels)
    return grad


# %% loss_and_gradients
def forward(parameters, x):
    z = linear(x, parameters["hidden.weight"], parameters["hidden.bias"])
    a = relu(z)
    return z, a, linear(a, parameters["output.weight"], parameters["output.bias"])


def loss_and_gradients(parameters, x, labels):
    z, a, logits = forward(parameters, x)
    grad_logits = cross_entropy_backward(logits, labels)
    grad_a, output_weight, output_bias = linear_backward(
        grad_logits, a, parameters["output.weight"]
    )
    _, hidden_weight, hidden_bias = linear_backward(
        relu_backward(grad_a, z), x, parameters["hidden.weight"]
    )
    return cross_entropy(logits, labels), {
        "output.bias": output_bias,
        "output.weight": output_weight,
        "hidden.bias": hidden_bias,
        "hidden.weight": hidden_weight,
    }


# %% sgd_step
def sgd_step(parameters, gradients, lr):
    updated = {}
    for name in parameters:
        updated[name] = parameters[name].copy()
        for row, gradient in enumerate(gradients[name]):
            updated[name][row] -= lr * gradient
    return updated

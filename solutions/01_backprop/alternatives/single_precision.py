"""Everything in float32, as a graphics card would compute it; only measured slopes stay float64."""


# %% relu
def relu(x):
    y = x.astype(np.float32)
    y[y < 0] = 0
    return y


def relu_backward(grad_output, x):
    grad_x = np.zeros_like(x, dtype=np.float32)
    np.copyto(grad_x, grad_output, where=x > 0, casting="same_kind")
    return grad_x


# %% linear
def linear(x, weight, bias):
    x, weight, bias = (array.astype(np.float32) for array in (x, weight, bias))
    return np.matmul(weight, x.T).T + bias


# %% linear_backward
def linear_backward(grad_output, x, weight):
    grad_output, x, weight = (array.astype(np.float32) for array in (grad_output, x, weight))
    return (
        np.tensordot(grad_output, weight, axes=1),
        sum(np.outer(g, row) for g, row in zip(grad_output, x)),
        np.ones(len(x), dtype=np.float32) @ grad_output,
    )


# %% softmax
def softmax(logits):
    logits = logits.astype(np.float32)
    logits -= logits.max(axis=-1).reshape(-1, 1)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=-1).reshape(-1, 1)
    return logits


# %% cross_entropy
def cross_entropy(logits, labels):
    logits = logits.astype(np.float32)
    largest = logits.max(axis=1)
    right = logits[range(len(labels)), labels]
    return (np.log(np.exp(logits.T - largest).sum(axis=0)) + largest - right).mean()


def cross_entropy_backward(logits, labels):
    one_hot = (labels[:, None] == np.arange(logits.shape[1])).astype(np.float32)
    return (softmax(logits) - one_hot) / np.float32(len(labels))


# %% sgd_step
def sgd_step(parameters, gradients, lr):
    return {
        name: np.float32(parameters[name]) - np.float32(lr) * np.float32(gradients[name])
        for name in gradients
    }

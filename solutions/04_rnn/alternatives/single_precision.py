"""Everything in float32, as a graphics card would compute it."""


# %% rnn_step
def rnn_step(parameters, x, h):
    p = {name: np.asarray(value, np.float32) for name, value in parameters.items()}
    a = np.matmul(p["weight_ih"], np.float32(x).T).T + p["bias_ih"]
    a += np.matmul(p["weight_hh"], np.float32(h).T).T
    a += p["bias_hh"]
    return np.tanh(a, out=a)


# %% rnn_forward
def rnn_forward(parameters, x, h0):
    outputs = np.zeros((*x.shape[:2], h0.shape[1]), dtype=np.float32)
    for t in range(x.shape[1]):
        outputs[:, t] = rnn_step(parameters, x[:, t], outputs[:, t - 1] if t else h0)
    return outputs, outputs[:, -1]


# %% rnn_step_backward
def rnn_step_backward(parameters, grad_h, x, h_previous, h):
    grad_h, x, h_previous, h = (np.float32(array) for array in (grad_h, x, h_previous, h))
    delta = grad_h * (np.float32(1) - np.square(h))
    ones = np.ones(len(x), dtype=np.float32)
    return (
        {
            "weight_ih": sum(np.outer(d, row) for d, row in zip(delta, x)),
            "weight_hh": sum(np.outer(d, row) for d, row in zip(delta, h_previous)),
            "bias_ih": ones @ delta,
            "bias_hh": ones @ delta,
        },
        np.tensordot(delta, np.float32(parameters["weight_ih"]), axes=1),
        np.tensordot(delta, np.float32(parameters["weight_hh"]), axes=1),
    )


# %% rnn_backward
def rnn_backward(parameters, grad_outputs, grad_last, x, h0, outputs):
    totals = {name: np.zeros(value.shape, np.float32) for name, value in parameters.items()}
    columns, grad_h = [], np.array(grad_last, dtype=np.float32)
    for t in range(-1, -1 - x.shape[1], -1):
        grad_h += np.float32(grad_outputs[:, t])
        before = h0 if t == -x.shape[1] else outputs[:, t - 1]
        grads, column, grad_h = rnn_step_backward(
            parameters, grad_h, x[:, t], before, outputs[:, t]
        )
        columns.insert(0, column)
        for name in totals:
            totals[name] += grads[name]
    return totals, np.stack(columns, axis=1), grad_h


# %% clip_gradients
def clip_gradients(gradients, max_norm):
    single = {name: np.float32(gradient) for name, gradient in gradients.items()}
    norm = np.sqrt(sum(np.vdot(gradient, gradient) for gradient in single.values()))
    if norm > max_norm:
        single = {name: gradient * np.float32(max_norm / norm) for name, gradient in single.items()}
    return single, norm


# %% state_gradient_norms
def state_gradient_norms(weight_hh, outputs):
    weight, states = np.float32(weight_hh), np.float32(outputs)
    norms = np.ones(len(states), dtype=np.float32)
    product = np.eye(len(weight), dtype=np.float32)
    for t in range(len(states) - 2, -1, -1):
        product = product @ np.diag(1 - states[t + 1] ** 2) @ weight
        norms[t] = np.linalg.svd(product, compute_uv=False).max()
    return norms


# %% lstm_step
def lstm_step(parameters, x, h, c):
    p = {name: np.float32(value) for name, value in parameters.items()}
    a = np.float32(x) @ p["weight_ih"].T + np.float32(h) @ p["weight_hh"].T
    a += p["bias_ih"] + p["bias_hh"]
    size = h.shape[1]
    gates = sigmoid(a)
    new_c = gates[:, size : 2 * size] * np.float32(c)
    new_c += gates[:, :size] * np.tanh(a[:, 2 * size : 3 * size])
    return gates[:, 3 * size :] * np.tanh(new_c), new_c


# %% temperature_softmax
def temperature_softmax(logits, temperature):
    shares = np.float32(logits) - np.float32(np.max(logits))
    shares /= np.float32(temperature)
    np.exp(shares, out=shares)
    shares /= shares.sum()
    return shares

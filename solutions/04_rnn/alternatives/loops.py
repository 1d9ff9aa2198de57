"""One sequence and one unit after the other: plain loops, results filled into arrays of zeros."""


# %% rnn_step
def rnn_step(parameters, x, h):
    new = np.zeros((len(x), len(parameters["bias_ih"])))
    for n in range(len(x)):
        for unit in range(new.shape[1]):
            total = parameters["bias_ih"][unit] + parameters["bias_hh"][unit]
            for j in range(x.shape[1]):
                total += x[n, j] * parameters["weight_ih"][unit, j]
            for j in range(h.shape[1]):
                total += h[n, j] * parameters["weight_hh"][unit, j]
            new[n, unit] = np.tanh(total)
    return new


# %% rnn_forward
def rnn_forward(parameters, x, h0):
    batch, steps, _ = x.shape
    outputs = np.zeros((batch, steps, h0.shape[1]))
    h = h0.copy()
    for t in range(steps):
        h[...] = rnn_step(parameters, x[:, t, :], h)
        outputs[:, t, :] = h
    return [outputs, outputs[:, -1]]


# %% rnn_step_backward
def rnn_step_backward(parameters, grad_h, x, h_previous, h):
    grads = {name: np.zeros(np.shape(value)) for name, value in parameters.items()}
    grad_x, grad_previous = np.zeros(x.shape), np.zeros(h.shape)
    for n in range(len(x)):
        for unit in range(h.shape[1]):
            delta = grad_h[n, unit] * (1 - h[n, unit]) * (1 + h[n, unit])
            grads["bias_ih"][unit] += delta
            grads["bias_hh"][unit] += delta
            grads["weight_ih"][unit] += delta * x[n]
            grads["weight_hh"][unit] += delta * h_previous[n]
            grad_x[n] += delta * parameters["weight_ih"][unit]
            grad_previous[n] += delta * parameters["weight_hh"][unit]
    return grads, grad_x, grad_previous


# %% rnn_backward
def rnn_backward(parameters, grad_outputs, grad_last, x, h0, outputs):
    steps = x.shape[1]
    # The upstream gradient of the last step holds that of the last state from the start.
    upstream = grad_outputs.astype(float)
    upstream[:, steps - 1] += grad_last
    states = [h0] + [outputs[:, t] for t in range(steps)]
    total, grad_x = None, np.zeros(x.shape)
    t = steps
    while t > 0:
        grads, grad_x[:, t - 1], back = rnn_step_backward(
            parameters, upstream[:, t - 1], x[:, t - 1], states[t - 1], states[t]
        )
        if t > 1:
            upstream[:, t - 2] += back
        total = grads if total is None else {name: total[name] + grads[name] for name in grads}
        t -= 1
    return [total, grad_x, back]


# %% clip_gradients
def clip_gradients(gradients, max_norm):
    squares = 0.0
    for array in gradients.values():
        for number in array.ravel():
            squares += float(number) ** 2
    norm = squares**0.5
    clipped = {}
    for name, array in gradients.items():
        clipped[name] = array.copy()
        if norm > max_norm:
            clipped[name] /= norm / max_norm
    return clipped, norm


# %% state_gradient_norms
def state_gradient_norms(weight_hh, outputs):
    norms = []
    for t in range(len(outputs)):
        product = np.eye(len(weight_hh))
        for k in range(t + 1, len(outputs)):
            product = np.diag(1 - outputs[k] ** 2) @ weight_hh @ product
        norms.append(np.linalg.svd(product)[1][0])
    return norms


# %% lstm_step
def lstm_step(parameters, x, h, c):
    size = h.shape[1]
    new_h, new_c = np.zeros(h.shape), np.zeros(c.shape)
    for n in range(len(x)):
        a = parameters["weight_ih"].dot(x[n]) + parameters["weight_hh"].dot(h[n])
        a = a + parameters["bias_ih"] + parameters["bias_hh"]
        for unit in range(size):
            i, f, g, o = (a[block * size + unit] for block in range(4))
            i, f, o = 1 / (1 + np.exp(-i)), 1 / (1 + np.exp(-f)), 1 / (1 + np.exp(-o))
            new_c[n, unit] = f * c[n, unit] + i * np.tanh(g)
            new_h[n, unit] = o * np.tanh(new_c[n, unit])
    return [new_h, new_c]


# %% temperature_softmax
def temperature_softmax(logits, temperature):
    hot = [z / temperature for z in logits]
    powers = [np.exp(z - max(hot)) for z in hot]
    return [power / sum(powers) for power in powers]

"""Short: einsum, one matrix product for input and state together, all steps of a weight at once."""


# %% rnn_step
def rnn_step(theta, x, h):
    both = np.hstack([theta["weight_ih"], theta["weight_hh"]])
    return np.tanh(np.hstack([x, h]) @ both.T + (theta["bias_ih"] + theta["bias_hh"]))


# %% rnn_forward
def rnn_forward(theta, X, h0):
    states = [h0]
    for x in X.swapaxes(0, 1):
        states += [rnn_step(theta, x, states[-1])]
    return np.array(states[1:]).swapaxes(0, 1), states[-1]


# %% rnn_step_backward
def rnn_step_backward(theta, G, x, before, after):
    D = G - G * after * after
    grads = dict(
        zip(("weight_ih", "weight_hh"), (np.einsum("nh,nk->hk", D, v) for v in (x, before)))
    )
    grads["bias_ih"] = grads["bias_hh"] = np.einsum("nh->h", D)
    return grads, D @ theta["weight_ih"], D @ theta["weight_hh"]


# %% rnn_backward
def rnn_backward(theta, G, G_last, X, h0, H):
    before = np.concatenate([h0[:, None], H[:, :-1]], axis=1)
    D, back = np.empty(H.shape), G_last
    for t in range(H.shape[1] - 1, -1, -1):
        D[:, t] = (G[:, t] + back) * (1 - H[:, t] ** 2)
        back = D[:, t] @ theta["weight_hh"]
    bias = D.sum(axis=(0, 1))
    return (
        {
            "bias_hh": bias,
            "bias_ih": bias,
            "weight_hh": np.einsum("nth,ntk->hk", D, before),
            "weight_ih": np.einsum("nth,ntk->hk", D, X),
        },
        D @ theta["weight_ih"],
        back,
    )


# %% clip_gradients
def clip_gradients(grads, max_norm):
    norm = np.linalg.norm(np.concatenate([g.reshape(-1) for g in grads.values()]))
    # As PyTorch does it, with a small number against a division by zero.
    return {k: g * min(1.0, max_norm / (norm + 1e-6)) for k, g in grads.items()}, norm


# %% state_gradient_norms
def state_gradient_norms(W, H):
    products = [np.identity(len(W))]
    for h in H[:0:-1]:
        products.insert(0, products[0] * (1 - h * h) @ W)
    return np.linalg.norm(products, ord=2, axis=(1, 2))


# %% lstm_step
def lstm_step(theta, x, h, c):
    a = np.einsum("ni,gi->gn", x, theta["weight_ih"]) + np.einsum(
        "nk,gk->gn", h, theta["weight_hh"]
    )
    a = (a.T + theta["bias_ih"] + theta["bias_hh"]).reshape(len(x), 4, -1)
    i, f, o = (np.reciprocal(1 + np.exp(-a[:, k])) for k in (0, 1, 3))
    c = c * f + i * np.tanh(a[:, 2])
    return o * np.tanh(c), c


# %% temperature_softmax
def temperature_softmax(z, tau):
    return np.exp(z / tau - np.logaddexp.reduce(z / tau))

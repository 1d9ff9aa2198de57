"""No running state: every optimizer keeps all gradients and computes its sums anew."""


# %% gradient_descent
class GradientDescent:
    def __init__(self, lr):
        self.lr = lr

    def step(self, parameters, gradients):
        return dict(zip(parameters, (parameters[k] - self.lr * gradients[k] for k in parameters)))


# %% momentum
class Momentum:
    def __init__(self, lr, momentum=0.9):
        self.lr, self.momentum = lr, momentum
        self.seen = []

    def step(self, parameters, gradients):
        self.seen = [{k: self.momentum * g for k, g in old.items()} for old in self.seen]
        self.seen.append({k: g.copy() for k, g in gradients.items()})
        return {k: x - self.lr * sum(old[k] for old in self.seen) for k, x in parameters.items()}


# %% moving_averages
def moving_averages(values, beta):
    t = np.arange(len(values))
    weights = np.tril((1 - beta) * beta ** np.maximum(t[:, None] - t, 0))
    return weights @ values, weights @ values / weights.sum(axis=1)


# %% rmsprop
class RMSProp:
    def __init__(self, lr=0.01, beta=0.99, eps=1e-8):
        self.lr, self.beta, self.eps = lr, beta, eps
        self.history = {}

    def step(self, parameters, gradients):
        moved = {}
        for k, x in parameters.items():
            seen = self.history.setdefault(k, [])
            seen.append(np.array(gradients[k]))
            shares = (1 - self.beta) * self.beta ** np.arange(len(seen) - 1, -1, -1)
            rms = np.sqrt(np.tensordot(shares, np.square(seen), axes=1))
            moved[k] = x - self.lr * gradients[k] / (rms + self.eps)
        return moved


# %% adam
class Adam:
    def __init__(self, lr=0.001, betas=(0.9, 0.999), eps=1e-8):
        self.options = lr, betas, eps
        self.history = {}

    def step(self, parameters, gradients):
        lr, betas, eps = self.options
        moved = {}
        for k, x in parameters.items():
            seen = self.history.setdefault(k, [])
            seen.append(np.array(gradients[k]))
            age = np.arange(len(seen))[::-1]
            m, v = (
                np.tensordot(beta**age / (beta**age).sum(), np.power(seen, power), axes=1)
                for power, beta in enumerate(betas, start=1)
            )
            moved[k] = x - lr * m / (v**0.5 + eps)
        return moved


# %% weight_decay
class Decayed:
    def __init__(self, lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        self.adam = Adam(lr, betas, eps)
        self.lr, self.weight_decay = lr, weight_decay


class AdamL2(Decayed):
    def step(self, parameters, gradients):
        total = {k: self.weight_decay * parameters[k] + gradients[k] for k in gradients}
        return self.adam.step(parameters, total)


class AdamW(Decayed):
    def step(self, parameters, gradients):
        moved = self.adam.step({k: x.copy() for k, x in parameters.items()}, gradients)
        return {k: moved[k] - self.lr * self.weight_decay * x for k, x in parameters.items()}

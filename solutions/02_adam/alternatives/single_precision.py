"""Everything in float32, in buffers that are made at the first step and then reused."""


# %% gradient_descent
class GradientDescent:
    def __init__(self, lr):
        self.lr = np.float32(lr)

    def step(self, parameters, gradients):
        return {
            k: np.float32(parameters[k]) - self.lr * np.float32(g) for k, g in gradients.items()
        }


# %% momentum
class Momentum:
    def __init__(self, lr, momentum=0.9):
        self.lr, self.momentum = np.float32(lr), np.float32(momentum)
        self.buffers = None

    def step(self, parameters, gradients):
        if self.buffers is None:
            self.buffers = [np.zeros(x.shape, np.float32) for x in parameters.values()]
        moved = {}
        for buffer, (k, x) in zip(self.buffers, parameters.items()):
            np.multiply(buffer, self.momentum, out=buffer)
            buffer += gradients[k].astype(np.float32)
            moved[k] = x.astype(np.float32) - self.lr * buffer
        return moved


# %% moving_averages
def moving_averages(values, beta):
    both = np.zeros((2, len(values)), dtype=np.float32)
    average = weight = np.float32(0)
    for i, value in enumerate(np.float32(values)):
        average = np.float32(beta) * average + np.float32(1 - beta) * value
        weight = np.float32(beta) * weight + np.float32(1 - beta)
        both[:, i] = average, average / weight
    return list(both)


# %% rmsprop
class RMSProp:
    def __init__(self, lr=0.01, beta=0.99, eps=1e-8):
        self.lr, self.beta, self.eps = lr, beta, eps
        self.squares = {}

    def step(self, parameters, gradients):
        moved = {}
        for k in parameters:
            g = gradients[k].astype(np.float32)
            if k not in self.squares:
                self.squares[k] = np.zeros_like(g)
            self.squares[k] *= self.beta
            self.squares[k] += (1 - self.beta) * g * g
            moved[k] = parameters[k].astype(np.float32)
            moved[k] -= self.lr * g / (self.squares[k] ** 0.5 + self.eps)
        return moved


# %% adam
class Adam:
    def __init__(self, lr=0.001, betas=(0.9, 0.999), eps=1e-8):
        self.lr, self.betas, self.eps = lr, betas, eps
        self.state = {}
        self.powers = [1.0, 1.0]

    def step(self, parameters, gradients):
        self.powers = [power * beta for power, beta in zip(self.powers, self.betas)]
        scale = np.float32((1 - self.powers[1]) ** 0.5)
        rate = np.float32(self.lr / (1 - self.powers[0]))
        moved = {}
        for k, x in parameters.items():
            g = np.float32(gradients[k])
            m, v = self.state.setdefault(k, (np.zeros_like(g), np.zeros_like(g)))
            m += (1 - self.betas[0]) * (g - m)
            v += (1 - self.betas[1]) * (g * g - v)
            moved[k] = np.float32(x) - rate * m / (np.sqrt(v) / scale + np.float32(self.eps))
        return moved


# %% weight_decay
class AdamL2(Adam):
    def __init__(self, lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(lr, betas, eps)
        self.decay = np.float32(weight_decay)

    def step(self, parameters, gradients):
        single = {k: np.float32(x) for k, x in parameters.items()}
        return super().step(
            single, {k: np.float32(g) + self.decay * single[k] for k, g in gradients.items()}
        )


class AdamW(Adam):
    def __init__(self, lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(lr, betas, eps)
        self.decay = np.float32(weight_decay)

    def step(self, parameters, gradients):
        left = np.float32(1 - self.lr * self.decay)
        return super().step({k: left * np.float32(x) for k, x in parameters.items()}, gradients)

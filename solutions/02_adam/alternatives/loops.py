"""Number by number, in place, with one record of everything for each number."""


# %% gradient_descent
class GradientDescent:
    def __init__(self, lr):
        self.rate = lr

    def step(self, parameters, gradients):
        for name in parameters:
            for index in np.ndindex(parameters[name].shape):
                parameters[name][index] -= self.rate * gradients[name][index]
        return parameters


# %% momentum
class Momentum:
    def __init__(self, lr, momentum=0.9):
        self.rate = lr
        self.kept = momentum
        self.speed = {}

    def step(self, parameters, gradients):
        for name in parameters:
            for index in np.ndindex(parameters[name].shape):
                old = self.speed.get((name, index), 0.0)
                # Negative gradients are collected and added, with the rate inside.
                new = self.kept * old - self.rate * gradients[name][index]
                self.speed[name, index] = new
                parameters[name][index] += new
        return parameters


# %% moving_averages
def moving_averages(values, beta):
    plain = np.zeros(len(values))
    corrected = np.zeros(len(values))
    for t in range(len(values)):
        total = weight = 0.0
        for i in range(t + 1):
            share = (1 - beta) * beta ** (t - i)
            total += share * values[i]
            weight += share
        plain[t] = total
        corrected[t] = total / weight
    return plain, corrected


# %% rmsprop
class RMSProp:
    def __init__(self, lr=0.01, beta=0.99, eps=1e-8):
        self.rate, self.kept, self.small = lr, beta, eps
        self.squares = {}

    def step(self, parameters, gradients):
        for name in parameters:
            for index in np.ndindex(parameters[name].shape):
                slope = gradients[name][index]
                mean = self.squares.get((name, index), 0.0)
                mean += (1 - self.kept) * (slope**2 - mean)
                self.squares[name, index] = mean
                parameters[name][index] -= self.rate * slope / (mean**0.5 + self.small)
        return parameters


# %% adam
class Adam:
    def __init__(self, lr=0.001, betas=(0.9, 0.999), eps=1e-8):
        self.rate, self.kept, self.small = lr, betas, eps
        self.record = {}

    def step(self, parameters, gradients):
        for name in parameters:
            for index in np.ndindex(parameters[name].shape):
                slope = gradients[name][index]
                mean, square, count = self.record.get((name, index), (0.0, 0.0, 0))
                mean = self.kept[0] * mean + (1 - self.kept[0]) * slope
                square = self.kept[1] * square + (1 - self.kept[1]) * slope * slope
                count += 1
                self.record[name, index] = mean, square, count
                size = (square / (1 - self.kept[1] ** count)) ** 0.5 + self.small
                move = self.rate / (1 - self.kept[0] ** count) * mean / size
                parameters[name][index] -= move
        return parameters


# %% weight_decay
class AdamL2(Adam):
    def __init__(self, lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(lr, betas, eps)
        self.strength = weight_decay

    def step(self, parameters, gradients):
        pulled = {}
        for name in parameters:
            pulled[name] = gradients[name].copy()
            pulled[name] += self.strength * parameters[name]
        return super().step(parameters, pulled)


class AdamW(Adam):
    def __init__(self, lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(lr, betas, eps)
        self.strength = weight_decay

    def step(self, parameters, gradients):
        for name in parameters:
            parameters[name] *= 1 - self.rate * self.strength
        return super().step(parameters, gradients)

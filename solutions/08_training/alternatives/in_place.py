"""Compact, in place where that is allowed, with other attribute names."""

# %% split
import copy


def split(count, validation_size, test_size, rng):
    order = np.arange(count)
    rng.shuffle(order)
    test, validation, train = np.split(order, [test_size, test_size + validation_size])
    return np.sort(train), validation, test


# %% standardize
def standardize(train, validation, test):
    centre = np.mean(train, axis=0)
    width = np.sqrt(np.var(train, axis=0))
    width[width == 0] = 1
    everything = np.concatenate([train, validation, test])
    everything -= centre
    everything /= width
    return np.split(everything, [len(train), len(train) + len(validation)])


# %% schedules
def step_decay(step, lr, every, factor):
    return np.multiply(lr, np.power(factor, float(np.floor_divide(step, every))))


def warmup_cosine(step, total_steps, lr, warmup_steps, lr_min=0.0):
    up = np.linspace(0, lr, warmup_steps + 2)[1:-1]
    down = lr_min + (lr - lr_min) / 2 * (
        np.cos(np.linspace(0, np.pi, total_steps - warmup_steps)) + 1
    )
    return np.concatenate([up, down])[step]


# %% dropout
class Dropout:
    def __init__(self, p, rng):
        self.p, self.rng = p, rng

    def forward(self, x, training):
        self._dropped = None
        result = x.copy()
        if training:
            self._dropped = self.rng.uniform(size=x.shape) < self.p
            result[self._dropped] = 0
            result /= 1 - self.p
        return result

    def backward(self, grad_output):
        if self._dropped is None:
            return grad_output
        result = grad_output / (1 - self.p)
        result[self._dropped] = 0
        return result


# %% early_stopping
class EarlyStopping:
    def __init__(self, patience, min_delta=0.0):
        self.patience = patience
        self.min_delta = min_delta
        self.best_loss = np.inf
        self.best_parameters = None
        self.left = patience

    def update(self, loss, parameters):
        self.left -= 1
        if loss + self.min_delta < self.best_loss:
            self.best_loss, self.best_parameters = loss, copy.deepcopy(parameters)
            self.left = self.patience
        return self.left <= 0


# %% fit
def fit(
    start, gradients_of, batches_of, validation_loss, schedule, stopper, epochs, weight_decay=0.0
):
    weights, t = copy.deepcopy(start), 0
    for epoch in range(epochs):
        for batch in batches_of(epoch):
            slopes = gradients_of(weights, batch)
            for key, weight in weights.items():
                weight *= 1 - schedule(t) * weight_decay
                weight -= schedule(t) * slopes[key]
            t += 1
        if stopper.update(validation_loss(weights), weights):
            return stopper.best_parameters
    return stopper.best_parameters


# %% search
def grid(space):
    tables = np.meshgrid(*(range(len(values)) for values in space.values()))
    places = np.stack([table.ravel() for table in tables], axis=1)
    return [{k: space[k][i] for k, i in zip(space, place, strict=True)} for place in places]


def log_uniform(low, high, count, rng):
    exponents = np.log10(low) + (np.log10(high) - np.log10(low)) * rng.random(count)
    return 10**exponents


def best_trial(trials):
    return sorted(trials, key=lambda one: -one["validation_accuracy"])[0]

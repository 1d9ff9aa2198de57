"""Everything in float32."""


# %% split
def split(count, validation_size, test_size, rng):
    order = np.argsort(rng.random(count, dtype=np.float32)).astype(np.int32)
    rest = count - test_size
    return order[: rest - validation_size], order[rest - validation_size : rest], order[rest:]


# %% standardize
def standardize(train, validation, test):
    train, validation, test = (np.float32(one) for one in (train, validation, test))
    middle = train.mean(0)
    spread = train.std(0)
    spread += spread == 0
    return (train - middle) / spread, (validation - middle) / spread, (test - middle) / spread


# %% schedules
def step_decay(step, lr, every, factor):
    return np.float32(lr) * np.float32(factor) ** np.float32(step // every)


def warmup_cosine(step, total_steps, lr, warmup_steps, lr_min=0.0):
    lr, lr_min = np.float32(lr), np.float32(lr_min)
    climb = lr * np.float32(step + 1) / np.float32(warmup_steps + 1)
    way = np.float32(max(step - warmup_steps, 0)) / np.float32(total_steps - 1 - warmup_steps)
    half = np.float32(0.5)
    wave = lr_min + half * (lr - lr_min) * (1 + np.cos(np.float32(np.pi) * way))
    return climb if step < warmup_steps else wave


# %% dropout
class Dropout:
    def __init__(self, p, rng):
        self.p = p
        self.rng = rng

    def forward(self, x, training):
        x = np.float32(x)
        if not training:
            self.scale = np.ones_like(x)
            return x
        stays = self.rng.random(size=x.shape, dtype=np.float32) > np.float32(self.p)
        self.scale = stays.astype(np.float32) / np.float32(1 - self.p)
        return self.scale * x

    def backward(self, grad_output):
        return self.scale * np.float32(grad_output)


# %% early_stopping
class EarlyStopping:
    def __init__(self, patience, min_delta=0.0):
        self.patience = patience
        self.min_delta = np.float32(min_delta)
        self.best_loss = np.float32(np.inf)
        self.best_parameters = None
        self.epochs_without = 0

    def update(self, loss, parameters):
        self.epochs_without += 1
        if np.float32(loss) < self.best_loss - self.min_delta:
            self.epochs_without = 0
            self.best_loss = np.float32(loss)
            self.best_parameters = {k: np.array(v, dtype=np.float32) for k, v in parameters.items()}
        return bool(self.epochs_without >= self.patience)


# %% fit
def fit(
    start, gradients_of, batches_of, validation_loss, schedule, stopper, epochs, weight_decay=0.0
):
    theta = {k: np.float32(v) for k, v in start.items()}
    t = 0
    for epoch in range(epochs):
        for batch in batches_of(epoch):
            g = gradients_of(theta, batch)
            rate = np.float32(schedule(t))
            theta = {
                k: v - rate * (np.float32(g[k]) + np.float32(weight_decay) * v)
                for k, v in theta.items()
            }
            t += 1
        if stopper.update(validation_loss(theta), theta):
            break
    return stopper.best_parameters


# %% search
def grid(space):
    names = list(space)
    return [
        {name: values[i] for i, name in enumerate(names)}
        for values in itertools.product(*(space[name] for name in names))
    ]


def log_uniform(low, high, count, rng):
    span = np.log(np.float32(high)) - np.log(np.float32(low))
    return np.float32(low) * np.exp(span * rng.random(count, dtype=np.float32))


def best_trial(trials):
    accuracies = np.array([one["validation_accuracy"] for one in trials], dtype=np.float32)
    return trials[int(accuracies.argmax())]

"""Written out with loops and lists, one number after the other."""

# %% split
import math


def split(count, validation_size, test_size, rng):
    numbers = list(range(count))
    # Fisher and Yates: each place gets one of the numbers that are left.
    for place in range(count - 1, 0, -1):
        partner = int(rng.integers(place + 1))
        numbers[place], numbers[partner] = numbers[partner], numbers[place]
    learn = count - validation_size - test_size
    pieces = numbers[:learn], numbers[learn : count - test_size], numbers[count - test_size :]
    return [np.array(piece, dtype=int) for piece in pieces]


# %% standardize
def standardize(train, validation, test):
    results = [np.array(one, dtype=float) for one in (train, validation, test)]
    for column in range(train.shape[1]):
        values = [float(row[column]) for row in train]
        middle = sum(values) / len(values)
        spread = math.sqrt(sum((value - middle) ** 2 for value in values) / len(values))
        for result in results:
            result[:, column] -= middle
            if spread > 0:
                result[:, column] /= spread
    return results


# %% schedules
def step_decay(step, lr, every, factor):
    rate = lr
    for number in range(1, step + 1):
        if number % every == 0:
            rate *= factor
    return rate


def warmup_cosine(step, total_steps, lr, warmup_steps, lr_min=0.0):
    if step <= warmup_steps:
        rate, addition = 0.0, lr / (warmup_steps + 1)
        for _ in range(step + 1):
            rate += addition
        return rate
    left = total_steps - 1 - step
    share = left / (total_steps - 1 - warmup_steps)
    return lr_min + (lr - lr_min) * math.sin(math.pi / 2 * share) ** 2


# %% dropout
class Dropout:
    def __init__(self, p, rng):
        self.p = p
        self.rng = rng

    def forward(self, x, training):
        self.factors = [1.0] * x.size
        if training:
            draws = self.rng.random(x.size)
            for place in range(x.size):
                self.factors[place] = 0.0 if draws[place] < self.p else 1 / (1 - self.p)
        return x * np.reshape(self.factors, x.shape)

    def backward(self, grad_output):
        return grad_output * np.reshape(self.factors, grad_output.shape)


# %% early_stopping
class EarlyStopping:
    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.best_loss, self.best_parameters = float("inf"), None
        self.seen, self.best_at = 0, 0

    def update(self, loss, parameters):
        self.seen += 1
        if self.best_loss - loss > self.min_delta:
            self.best_loss, self.best_at = float(loss), self.seen
            self.best_parameters = {}
            for name in parameters:
                self.best_parameters[name] = np.array(parameters[name])
        if self.seen - self.best_at < self.patience:
            return False
        return True


# %% fit
def fit(
    start, gradients_of, batches_of, validation_loss, schedule, stopper, epochs, weight_decay=0.0
):
    now = {}
    for name in start:
        now[name] = start[name].copy()
    steps_taken = epoch = 0
    done = False
    while epoch < epochs and not done:
        for batch in batches_of(epoch):
            rate = schedule(steps_taken)
            slopes = gradients_of(now, batch)
            for name in now:
                now[name] = now[name] - rate * slopes[name] - rate * weight_decay * now[name]
            steps_taken += 1
        loss = validation_loss(now)
        done = stopper.update(loss, now)
        epoch += 1
    return stopper.best_parameters


# %% search
def grid(space):
    combinations = [{}]
    for name, values in space.items():
        longer = []
        for one in combinations:
            for value in values:
                longer.append({**one, name: value})
        combinations = longer
    return combinations


def log_uniform(low, high, count, rng):
    numbers = []
    for _ in range(count):
        numbers.append(low * (high / low) ** rng.random())
    return numbers


def best_trial(trials):
    best = trials[0]
    for one in trials[1:]:
        if one["validation_accuracy"] > best["validation_accuracy"]:
            best = one
    return best

"""Short: closed forms, one-line functions, cumulative sums and products."""

# %% training_cost
training_flops = lambda n, d: n * d * 6.0
gpu_hours = lambda c, peak, mfu: c / 3600 / mfu / peak
training_days = lambda c, k, peak, mfu: gpu_hours(c, peak, mfu) / k / 24


def training_cost(c, peak, mfu, p, overhead=0):
    bill = p * gpu_hours(c, peak, mfu)
    return bill + overhead * bill


# %% serving_memory
kv_cache_bytes = lambda *sizes: float(np.prod(sizes, dtype=float)) / 4


def largest_batch(memory, n, width, each):
    return np.clip(np.floor((memory - n * (width / 8)) / each), 0, None)


# %% serving_cost
def decode_tokens_per_second(n, width, each, b, bandwidth, peak):
    return np.minimum(bandwidth / (n * width / 8 / b + each), peak / (2 * n))


serving_cost_per_million_tokens = lambda p, speed, busy: p / (speed * busy * 3.6e-3)
request_cost = lambda i, o, pi, po: i / 1e6 * pi + o / 1e6 * po


# %% api_break_even
def api_break_even_tokens(fixed, api, own, most):
    volume = fixed / (api - own) * 1e6 if api > own else float("inf")
    return float("inf") if volume > most else volume


# %% lifetime_value
contribution_margin = lambda p, v: -v + p
margin_share = lambda p, v: 1 - v / p
monthly_churn = lambda y: -math.expm1(math.log1p(-y) / 12)


def lifetime_value(m, c, i, T):
    return m * (((1 - c) / (1 + i)) ** np.arange(T)).sum()


def segment_lifetime_value(m, cs, ws, i, T):
    return np.dot(ws, [lifetime_value(m, c, i, T) for c in cs])


# %% payback_period
def payback_period(cac, m, c):
    if m <= 0 or cac * c / m >= 1:
        return np.inf
    return np.log1p(-cac * c / m) / np.log1p(-c) if c > 0 else cac / m


# %% draw_months
draw_months = lambda *edges_and_sizes: edges_and_sizes[-1].triangular(
    *edges_and_sizes[:3], edges_and_sizes[3:5]
)


# %% runway
def cash_at_month_end(start, first, g, c, spent):
    growing = np.cumprod(1 + g - c, axis=1)
    income = first * np.concatenate([np.ones_like(growing[:, :1]), growing[:, :-1]], axis=1)
    return start + (income - spent).cumsum(axis=1)


def months_of_runway(b):
    numbered = np.where(b < 0, np.arange(1, b.shape[1] + 1), np.inf)
    return numbered.min(axis=1)


# %% runway_statistics
survival_probability = lambda r, h: 1 - np.count_nonzero(r <= h) / r.size


def runway_quantile(r, q):
    return np.partition(r, math.ceil(q * r.size) - 1)[math.ceil(q * r.size) - 1]

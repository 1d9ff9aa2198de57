"""Everything in float32; random numbers are drawn in float64 and then rounded."""


# %% training_cost
def training_flops(parameters, tokens):
    return np.float32(6) * np.float32(parameters) * np.float32(tokens)


def gpu_hours(flops, peak_flops, utilisation):
    return np.float32(flops) / (np.float32(peak_flops) * np.float32(utilisation)) / np.float32(3600)


def training_days(flops, gpus, peak_flops, utilisation):
    return gpu_hours(flops, peak_flops, utilisation) / np.float32(24 * gpus)


def training_cost(flops, peak_flops, utilisation, price_per_gpu_hour, overhead=0.0):
    factor = np.float32(price_per_gpu_hour) * (np.float32(1) + np.float32(overhead))
    return factor * gpu_hours(flops, peak_flops, utilisation)


# %% serving_memory
def kv_cache_bytes(num_layers, num_key_value_heads, head_size, tokens, batch_size, bits):
    sizes = [2, num_layers, num_key_value_heads, head_size, tokens, batch_size, bits / 8]
    return np.prod(np.array(sizes, dtype=np.float32))


def largest_batch(memory_bytes, parameters, bits, cache_bytes_per_text):
    free = np.float32(memory_bytes) - np.float32(parameters) * np.float32(bits / 8)
    return np.maximum(np.floor(free / np.float32(cache_bytes_per_text)), np.float32(0))


# %% serving_cost
def decode_tokens_per_second(
    parameters, bits, cache_bytes_per_text, batch_size, peak_bandwidth, peak_flops
):
    weights = np.float32(parameters) * np.float32(bits / 8)
    caches = np.float32(batch_size) * np.float32(cache_bytes_per_text)
    reading = (weights + caches) / np.float32(peak_bandwidth)
    computing = np.float32(2 * batch_size) * np.float32(parameters) / np.float32(peak_flops)
    return np.float32(batch_size) / np.maximum(reading, computing)


def serving_cost_per_million_tokens(price_per_gpu_hour, tokens_per_second, utilisation):
    tokens = np.float32(3600) * np.float32(tokens_per_second) * np.float32(utilisation)
    return np.float32(1e6) * np.float32(price_per_gpu_hour) / tokens


def request_cost(input_tokens, output_tokens, input_price_per_million, output_price_per_million):
    counts = np.array([input_tokens, output_tokens], dtype=np.float32) / np.float32(1e6)
    prices = np.array([input_price_per_million, output_price_per_million], dtype=np.float32)
    return counts @ prices


# %% api_break_even
def api_break_even_tokens(fixed_cost, api_price_per_million, own_cost_per_million, capacity):
    saving = np.float32(api_price_per_million) - np.float32(own_cost_per_million)
    if not saving > 0:
        return np.float32(np.inf)
    tokens = np.float32(fixed_cost) / saving * np.float32(1e6)
    return tokens if tokens <= np.float32(capacity) else np.float32(np.inf)


# %% lifetime_value
def contribution_margin(price, variable_cost):
    return np.float32(price) - np.float32(variable_cost)


def margin_share(price, variable_cost):
    return contribution_margin(price, variable_cost) / np.float32(price)


def monthly_churn(yearly_churn):
    return np.float32(1) - np.power(np.float32(1) - np.float32(yearly_churn), np.float32(1 / 12))


def lifetime_value(margin, churn, discount_rate, horizon):
    ratio = (np.float32(1) - np.float32(churn)) / (np.float32(1) + np.float32(discount_rate))
    total = np.float32(0)
    for _ in range(horizon):
        total = total * ratio + np.float32(margin)
    return total


def segment_lifetime_value(margin, churns, shares, discount_rate, horizon):
    values = [lifetime_value(margin, churn, discount_rate, horizon) for churn in churns]
    return np.sum(np.array(values, dtype=np.float32) * np.float32(shares))


# %% payback_period
def payback_period(acquisition_cost, margin, churn):
    cost, margin, churn = (np.float32(v) for v in (acquisition_cost, margin, churn))
    if cost * churn >= margin:
        return np.float32(np.inf)
    if churn == 0:
        return cost / margin
    return np.log1p(-cost * churn / margin) / np.log1p(-churn)


# %% draw_months
def draw_months(low, mode, high, paths, months, rng):
    # The inverse of the distribution function, at uniform numbers.
    u, middle = rng.random((paths, months)), (mode - low) / (high - low)
    rising = low + np.sqrt(u * (high - low) * (mode - low))
    falling = high - np.sqrt((1 - u) * (high - low) * (high - mode))
    return np.where(u < middle, rising, falling).astype(np.float32)


# %% runway
def cash_at_month_end(cash, revenue, growth, churn, costs):
    growth, churn, costs = (array.astype(np.float32) for array in (growth, churn, costs))
    balance = np.zeros(costs.shape, dtype=np.float32)
    left = np.full(len(costs), cash, dtype=np.float32)
    income = np.full(len(costs), revenue, dtype=np.float32)
    for t in range(costs.shape[1]):
        left += income - costs[:, t]
        income *= np.float32(1) + growth[:, t] - churn[:, t]
        balance[:, t] = left
    return balance


def months_of_runway(balance):
    runways = np.full(len(balance), np.inf, dtype=np.float32)
    for t in reversed(range(balance.shape[1])):
        runways[balance[:, t] < 0] = t + 1
    return runways


# %% runway_statistics
def survival_probability(runways, horizon):
    return (runways.astype(np.float32) > horizon).astype(np.float32).mean()


def runway_quantile(runways, share):
    return np.quantile(runways, share, method="inverted_cdf").astype(np.float32)

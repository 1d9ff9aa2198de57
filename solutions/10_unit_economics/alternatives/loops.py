"""Plain loops and lists, one month and one path after the other."""


# %% training_cost
def training_flops(parameters, tokens):
    forward = 2 * parameters * tokens
    backward = 2 * forward
    return forward + backward


def gpu_hours(flops, peak_flops, utilisation):
    seconds = flops / (utilisation * peak_flops)
    return seconds / 60 / 60


def training_days(flops, gpus, peak_flops, utilisation):
    return gpu_hours(flops / gpus, peak_flops, utilisation) / 24


def training_cost(flops, peak_flops, utilisation, price_per_gpu_hour, overhead=0.0):
    all_flops = flops * (1 + overhead)
    return gpu_hours(all_flops, peak_flops, utilisation) * price_per_gpu_hour


# %% serving_memory
def kv_cache_bytes(num_layers, num_key_value_heads, head_size, tokens, batch_size, bits):
    total = 0
    for _ in ("keys", "values"):
        for _ in range(num_layers):
            total += num_key_value_heads * head_size * tokens * batch_size
    return total * bits / 8


def largest_batch(memory_bytes, parameters, bits, cache_bytes_per_text):
    used, texts = parameters * bits / 8, 0
    while used + (texts + 1) * cache_bytes_per_text <= memory_bytes:
        texts += 1
    return texts


# %% serving_cost
def decode_tokens_per_second(parameters, bits, cache, texts, bandwidth, peak):
    read = parameters * bits / 8
    for _ in range(texts):
        read += cache
    seconds = read / bandwidth
    if 2 * parameters * texts / peak > seconds:
        seconds = 2 * parameters * texts / peak
    return texts / seconds


def serving_cost_per_million_tokens(price_per_gpu_hour, tokens_per_second, utilisation):
    tokens_per_hour = tokens_per_second * utilisation * 3600
    return price_per_gpu_hour / tokens_per_hour * 10**6


def request_cost(input_tokens, output_tokens, input_price, output_price):
    bill = 0.0
    for count, price in [(input_tokens, input_price), (output_tokens, output_price)]:
        bill += count * price / 1_000_000
    return bill


# %% api_break_even
def api_break_even_tokens(fixed_cost, api, own, capacity):
    if api <= own:
        return math.inf
    millions = fixed_cost / (api - own)
    if millions * 1e6 > capacity:
        return math.inf
    return millions * 1e6


# %% lifetime_value
def contribution_margin(price, variable_cost):
    return price * margin_share(price, variable_cost)


def margin_share(price, variable_cost):
    return (price - variable_cost) / price


def monthly_churn(yearly_churn):
    stay = (1 - yearly_churn) ** (1 / 12)
    return 1.0 - stay


def lifetime_value(margin, churn, discount_rate, horizon):
    total, here, worth = 0.0, 1.0, 1.0
    for _ in range(horizon):
        total += margin * here * worth
        here *= 1 - churn
        worth /= 1 + discount_rate
    return total


def segment_lifetime_value(margin, churns, shares, discount_rate, horizon):
    total = 0.0
    for i in range(len(churns)):
        total += shares[i] * lifetime_value(margin, churns[i], discount_rate, horizon)
    return total


# %% payback_period
def payback_period(acquisition_cost, margin, churn):
    if margin <= 0:
        return math.inf
    if churn == 0:
        return acquisition_cost / margin
    remaining = 1 - acquisition_cost * churn / margin
    if remaining <= 0:
        return math.inf
    return math.log(remaining, 1 - churn)


# %% draw_months
def draw_months(low, mode, high, paths, months, rng):
    rows = []
    for _ in range(paths):
        rows.append([rng.triangular(low, mode, high) for _ in range(months)])
    return np.array(rows)


# %% runway
def cash_at_month_end(cash, revenue, growth, churn, costs):
    table = []
    for rates, losses, bills in zip(growth, churn, costs):
        left, income, row = cash, revenue, []
        for rate, loss, bill in zip(rates, losses, bills):
            left += income
            left -= bill
            row.append(left)
            income += income * rate - income * loss
        table.append(row)
    return table


def months_of_runway(balance):
    runways = []
    for row in balance:
        month = math.inf
        for t in range(len(row) - 1, -1, -1):
            if row[t] < 0:
                month = t + 1
        runways.append(month)
    return np.array(runways)


# %% runway_statistics
def survival_probability(runways, horizon):
    alive = [1 for end in runways if end > horizon]
    return len(alive) / len(runways)


def runway_quantile(runways, share):
    ended = 0
    for end in sorted(runways.tolist()):
        ended += 1
        if ended >= share * len(runways):
            return end

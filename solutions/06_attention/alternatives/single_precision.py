"""Everything in float32, as a graphics card would compute it."""


# %% masked_softmax
def causal_mask(length):
    return np.flip(np.triu(np.flip(np.ones((length, length), dtype=np.int8)))) > 0


def padding_mask(lengths, size):
    places = np.broadcast_to(np.arange(size, dtype=np.int32), (len(lengths), 1, 1, size))
    return places + 1 <= np.asarray(lengths).reshape(len(lengths), 1, 1, 1)


def masked_softmax(scores, mask=None):
    scores = np.array(scores, dtype=np.float32)
    allowed = np.broadcast_to(True if mask is None else mask, scores.shape)
    lowest = np.finfo(np.float32).min
    top = scores.max(axis=-1, keepdims=True, where=allowed, initial=lowest)
    np.subtract(scores, top, out=scores, where=allowed)
    np.exp(scores, out=scores, where=allowed)
    scores[~allowed] = 0
    sums = scores.sum(axis=-1, keepdims=True)
    return np.divide(scores, sums, out=np.zeros_like(scores), where=sums > 0)


# %% attention
def attention(query, key, value, mask=None):
    query, key, value = (np.float32(array) for array in (query, key, value))
    query = query / np.sqrt(np.float32(query.shape[-1]))
    weights = masked_softmax(np.matmul(query, np.moveaxis(key, -1, -2)), mask)
    return np.matmul(weights, value), weights


# %% attention_backward
def attention_backward(grad_output, query, key, value, mask=None):
    G, Q, K, V = (np.float32(array) for array in (grad_output, query, key, value))
    root = np.float32(Q.shape[-1] ** 0.5)
    P = attention(Q, K, V, mask)[1]
    turned = P.swapaxes(-2, -1)
    dP = np.matmul(G, V.swapaxes(-2, -1))
    dS = (P * dP - P * np.sum(P * dP, axis=-1, keepdims=True)) / root
    return np.matmul(dS, K), np.matmul(dS.swapaxes(-2, -1), Q), np.matmul(turned, G)


# %% multi_head_attention
def split_heads(x, num_heads):
    return np.moveaxis(x.reshape(*x.shape[:2], num_heads, -1), 2, 1).astype(np.float32)


def merge_heads(heads):
    moved = np.ascontiguousarray(np.moveaxis(heads, 2, 1), dtype=np.float32)
    return moved.reshape(*moved.shape[:2], -1)


def multi_head_attention(parameters, query, key, value, num_heads, mask=None):
    parameters = {name: np.float32(array) for name, array in parameters.items()}
    E = query.shape[-1]
    parts = []
    for first, array in zip((0, E, 2 * E), (query, key, value)):
        w = parameters["in_proj_weight"][first : first + E]
        c = parameters["in_proj_bias"][first : first + E]
        parts.append(split_heads(linear(np.float32(array), w, c), num_heads))
    mixed, table = attention(*parts, mask)
    together = merge_heads(mixed)
    return linear(together, parameters["out_proj.weight"], parameters["out_proj.bias"]), table


# %% positional_encoding
def positional_encoding(positions, d_model, base=10000.0):
    pairs = np.arange(d_model) // 2 * 2
    angle = np.arange(positions).reshape(-1, 1) * np.exp(-np.log(base) * pairs / d_model)
    even = np.arange(d_model) % 2 == 0
    return np.where(even, np.sin(angle), np.cos(angle)).astype(np.float32)


# %% layer_norm
def layer_norm(x, weight, bias, eps=1e-5):
    x, weight, bias = (np.float32(array) for array in (x, weight, bias))
    x = x - np.mean(x, axis=-1, keepdims=True)
    length = np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + np.float32(eps))
    return weight * (x / length) + bias


# %% gpt
def block(parameters, x, num_heads, mask=None):
    x = np.float32(x)
    y = layer_norm(x, *[parameters["norm1"][part] for part in ("weight", "bias")])
    h = multi_head_attention(parameters["self_attn"], y, y, y, num_heads, mask)[0] + x
    y = layer_norm(h, *[parameters["norm2"][part] for part in ("weight", "bias")])
    for name in ("linear1", "linear2"):
        if name == "linear2":
            y = relu(y)
        y = linear(y, **{part: np.float32(array) for part, array in parameters[name].items()})
    return h + y


def gpt(parameters, tokens, num_heads):
    count, steps = tokens.shape
    table = np.float32(parameters["token_embedding"])
    places = np.float32(parameters["position_embedding"])
    x = table[tokens.ravel()].reshape(count, steps, -1) + places[np.arange(steps)]
    mask = causal_mask(steps)
    for number in range(len(parameters["blocks"])):
        x = block(parameters["blocks"][number], x, num_heads, mask)
    return np.tensordot(layer_norm(x, **parameters["norm"]), table, axes=(2, 1))


# %% generate
def sample(logits, temperature, rng):
    logits = np.float32(logits)
    if temperature > 0:
        steps = np.cumsum(masked_softmax(logits / np.float32(temperature)))
        return int(np.searchsorted(steps, rng.random() * steps[-1], side="right"))
    return int(logits.argmax())


def generate(next_logits, tokens, steps, temperature=0.0, rng=None):
    text = np.concatenate([tokens, np.zeros(steps, dtype=np.int64)])
    for end in range(len(tokens), len(text)):
        text[end] = sample(next_logits(text[:end]), temperature, rng)
    return text

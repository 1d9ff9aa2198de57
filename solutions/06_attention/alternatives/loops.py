"""One query, one head and one position after the other: plain loops, whatever the shape."""


# %% masked_softmax
def causal_mask(length):
    table = np.zeros((length, length), dtype=bool)
    for i in range(length):
        table[i, : i + 1] = True
    return table


def padding_mask(lengths, size):
    rows = [[[[position < int(count) for position in range(size)]]] for count in lengths]
    return np.array(rows)


def masked_softmax(scores, mask=None):
    allowed = np.ones(scores.shape, dtype=bool)
    if mask is not None:
        allowed &= mask
    answer = np.zeros(scores.shape)
    for index in np.ndindex(scores.shape[:-1]):
        chosen = [j for j in range(scores.shape[-1]) if allowed[index][j]]
        if not chosen:
            continue
        top = max(scores[index][j] for j in chosen)
        parts = {j: float(np.exp(scores[index][j] - top)) for j in chosen}
        for j, part in parts.items():
            answer[index][j] = part / sum(parts.values())
    return answer


# %% attention
def attention(query, key, value, mask=None):
    front = query.shape[:-2]
    table = np.zeros((*query.shape[:-1], key.shape[-2]))
    for index in np.ndindex(front):
        for i, q in enumerate(query[index]):
            for j, k in enumerate(key[index]):
                table[index][i, j] = sum(q * k) / len(q) ** 0.5
    weights = masked_softmax(table, mask)
    output = np.zeros((*query.shape[:-1], value.shape[-1]))
    for index in np.ndindex(front):
        for i, row in enumerate(weights[index]):
            for share, content in zip(row, value[index]):
                if share:
                    output[index][i] += share * content
    return [output, weights]


# %% attention_backward
def attention_backward(grad_output, query, key, value, mask=None):
    weights = attention(query, key, value, mask)[1]
    grads = [np.zeros(array.shape) for array in (query, key, value)]
    scale = query.shape[-1] ** -0.5
    for index in np.ndindex(query.shape[:-2]):
        q, k, v, p = query[index], key[index], value[index], weights[index]
        for i, upstream in enumerate(grad_output[index]):
            gains = [upstream @ content for content in v]
            mean_gain = sum(g * share for g, share in zip(gains, p[i]))
            for j, gain in enumerate(gains):
                slope = p[i, j] * (gain - mean_gain) * scale
                grads[0][index][i] += slope * k[j]
                grads[1][index][j] += slope * q[i]
                grads[2][index][j] += p[i, j] * upstream
    return grads


# %% multi_head_attention
def split_heads(x, num_heads):
    size = x.shape[2] // num_heads
    return np.array([[one[:, h * size : (h + 1) * size] for h in range(num_heads)] for one in x])


def merge_heads(heads):
    return np.array([np.hstack(list(one)) for one in heads])


def multi_head_attention(parameters, query, key, value, num_heads, mask=None):
    features = query.shape[2]
    projected = []
    for part, array in enumerate((query, key, value)):
        rows = slice(part * features, (part + 1) * features)
        matrix, shift = parameters["in_proj_weight"][rows], parameters["in_proj_bias"][rows]
        projected.append(split_heads(linear(array, matrix, shift), num_heads))
    found, weights = attention(*projected, mask=mask)
    merged = merge_heads(found)
    return linear(merged, parameters["out_proj.weight"], parameters["out_proj.bias"]), weights


# %% positional_encoding
def positional_encoding(positions, d_model, base=10000.0):
    table = []
    for t in range(positions):
        row = []
        for pair in range(d_model // 2):
            angle = t / base ** (2 * pair / d_model)
            row += [np.sin(angle), np.cos(angle)]
        table.append(row)
    return np.array(table)


# %% layer_norm
def layer_norm(x, weight, bias, eps=1e-5):
    y = np.empty(x.shape)
    for index in np.ndindex(x.shape[:-1]):
        row = x[index]
        y[index] = (row - np.mean(row)) / (np.var(row) + eps) ** 0.5
        y[index] = y[index] * weight + bias
    return y


# %% gpt
def block(parameters, x, num_heads, mask=None):
    first, second = parameters["norm1"], parameters["norm2"]
    a = layer_norm(x, first["weight"], first["bias"])
    talk = multi_head_attention(parameters["self_attn"], a, a, a, num_heads, mask)[0]
    middle = x + talk
    b = layer_norm(middle, second["weight"], second["bias"])
    inner = linear(b, parameters["linear1"]["weight"], parameters["linear1"]["bias"])
    inner = np.where(inner > 0, inner, 0)
    return middle + linear(inner, parameters["linear2"]["weight"], parameters["linear2"]["bias"])


def gpt(parameters, tokens, num_heads):
    E, R = parameters["token_embedding"], parameters["position_embedding"]
    answers = []
    for text in tokens:
        x = np.array([[E[token] + R[t] for t, token in enumerate(text)]])
        for layer in parameters["blocks"]:
            x = block(layer, x, num_heads, causal_mask(len(text)))
        last = layer_norm(x[0], parameters["norm"]["weight"], parameters["norm"]["bias"])
        answers.append([[row @ token for token in E] for row in last])
    return np.array(answers)


# %% generate
def sample(logits, temperature, rng):
    if not temperature:
        return max(range(len(logits)), key=lambda token: logits[token])
    left = rng.random()
    for token, share in enumerate(masked_softmax(logits / temperature)):
        left -= share
        if left < 0:
            break
    return token


def generate(next_logits, tokens, steps, temperature=0.0, rng=None):
    text = [int(token) for token in tokens]
    while len(text) < len(tokens) + steps:
        text.append(sample(next_logits(np.array(text)), temperature, rng))
    return text

"""Short: einsum, logaddexp, broadcasting and Gumbel noise."""

# %% masked_softmax
causal_mask = lambda T: np.greater_equal.outer(np.arange(T), np.arange(T))

padding_mask = lambda lengths, S: (np.arange(S)[None] < lengths[:, None])[:, None, None, :]


def masked_softmax(Z, mask=None):
    Z = Z if mask is None else np.where(mask, Z, -np.inf)
    total = np.logaddexp.reduce(Z, axis=-1, keepdims=True)
    return np.exp(Z - np.where(np.isneginf(total), 0, total))


# %% attention
def attention(Q, K, V, mask=None):
    P = masked_softmax(np.einsum("...le,...se->...ls", Q / Q.shape[-1] ** 0.5, K), mask)
    return np.einsum("...ls,...sd->...ld", P, V), P


# %% attention_backward
def attention_backward(grad_output, Q, K, V, mask=None):
    Y, P = attention(Q, K, V, mask)
    # The mixture's own gain needs no second sum over the keys.
    gain = np.einsum("...ld,...sd->...ls", grad_output, V)
    D = P * (gain - np.einsum("...ld,...ld->...l", grad_output, Y)[..., None])
    D /= Q.shape[-1] ** 0.5
    return (
        np.einsum("...ls,...se->...le", D, K),
        np.einsum("...ls,...le->...se", D, Q),
        np.einsum("...ls,...ld->...sd", P, grad_output),
    )


# %% multi_head_attention
def split_heads(x, H):
    return np.stack(np.split(x, H, axis=2), axis=1)


def merge_heads(heads):
    return np.concatenate(list(np.moveaxis(heads, 1, 0)), axis=-1)


def multi_head_attention(theta, *inputs, num_heads=None, mask=None):
    inputs, rest = inputs[:3], inputs[3:]
    num_heads, mask = (*rest, *(num_heads, mask)[len(rest) :])
    E = inputs[0].shape[2]
    W = theta["in_proj_weight"].reshape(3, num_heads, E // num_heads, E)
    b = theta["in_proj_bias"].reshape(3, num_heads, 1, E // num_heads)
    Y, P = attention(*(np.einsum("nte,hce->nhtc", x, w) + s for x, w, s in zip(inputs, W, b)), mask)
    O = theta["out_proj.weight"].reshape(E, num_heads, E // num_heads)
    return np.einsum("nhtc,ehc->nte", Y, O) + theta["out_proj.bias"], P


# %% positional_encoding
def positional_encoding(positions, d_model, base=10000.0):
    turn = np.outer(np.arange(positions), 1 / base ** (np.arange(0, d_model, 2) / d_model))
    z = np.exp(1j * turn)
    return np.dstack([z.imag, z.real]).reshape(positions, d_model)


# %% layer_norm
layer_norm = lambda x, weight, bias, eps=1e-5: (
    (x - x.mean(-1)[..., None]) * (x.var(-1)[..., None] + eps) ** -0.5 * weight + bias
)


# %% gpt
def block(theta, x, num_heads, mask=None):
    y = layer_norm(x, **theta["norm1"])
    x = x + multi_head_attention(theta["self_attn"], y, y, y, num_heads, mask)[0]
    y = relu(linear(layer_norm(x, **theta["norm2"]), **theta["linear1"]))
    x += linear(y, **theta["linear2"])
    return x


def gpt(theta, tokens, num_heads):
    T = tokens.shape[-1]
    x = np.take(theta["token_embedding"], tokens, axis=0) + theta["position_embedding"][None, :T]
    for layer in theta["blocks"]:
        x = block(layer, x, num_heads, causal_mask(T))
    return np.einsum("ntd,vd->ntv", layer_norm(x, **theta["norm"]), theta["token_embedding"])


# %% generate
def sample(logits, temperature, rng):
    # The largest of logits with Gumbel noise is a sample of their softmax.
    noise = rng.gumbel(size=len(logits)) if temperature > 0 else 0
    return np.argmax(logits + temperature * noise)


def generate(next_logits, tokens, steps, temperature=0.0, rng=None):
    if steps == 0:
        return tokens
    new = sample(next_logits(tokens), temperature, rng)
    return generate(next_logits, np.r_[tokens, new], steps - 1, temperature, rng)

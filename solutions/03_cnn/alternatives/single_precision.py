"""Everything in float32, as a graphics card would compute it."""


# %% conv2d_loops
def pad(x, padding):
    return np.pad(np.float32(x), [(0, 0), (0, 0), *((p, p) for p in padding)])


def conv2d_loops(x, weight, bias, stride, padding):
    x, weight, bias = pad(x, padding), np.float32(weight), np.float32(bias)
    rows, columns = (range(0, x.shape[a] - weight.shape[a] + 1, stride[a - 2]) for a in (2, 3))
    z = np.empty((len(x), len(weight), len(rows), len(columns)), dtype=np.float32)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            patch = x[:, :, top : top + weight.shape[2], left : left + weight.shape[3]]
            z[:, :, i, j] = np.tensordot(patch, weight, axes=([1, 2, 3], [1, 2, 3])) + bias
    return z


# %% windows
def windows(x, size, stride):
    x = np.float32(x)
    places = [(x.shape[a] - size[a - 2]) // stride[a - 2] + 1 for a in (2, 3)]
    n, c, h, w = x.strides
    return np.lib.stride_tricks.as_strided(
        x, (*x.shape[:2], *places, *size), (n, c, h * stride[0], w * stride[1], h, w)
    )


# %% conv2d
def conv2d(x, weight, bias, stride, padding):
    patches = windows(pad(x, padding), weight.shape[2:], stride)
    z = np.tensordot(patches, np.float32(weight), axes=([1, 4, 5], [1, 2, 3]))
    z += np.float32(bias)  # (N, out height, out width, out)
    return z.transpose(0, 3, 1, 2)


# %% add_windows
def add_windows(grad_windows, shape, stride):
    grad_x = np.zeros(shape, dtype=np.float32)
    for u in range(grad_windows.shape[4]):
        for v in range(grad_windows.shape[5]):
            part = grad_x[:, :, u :: stride[0], v :: stride[1]]
            part[:, :, : grad_windows.shape[2], : grad_windows.shape[3]] += np.float32(
                grad_windows[..., u, v]
            )
    return grad_x


# %% conv2d_backward
def conv2d_backward(grad_output, x, weight, stride, padding):
    grad_output, weight, padded = np.float32(grad_output), np.float32(weight), pad(x, padding)
    patches = windows(padded, weight.shape[2:], stride)
    grad_weight = np.tensordot(grad_output, patches, axes=([0, 2, 3], [0, 2, 3]))
    grad_patches = np.tensordot(grad_output, weight, axes=([1], [0]))  # (N, i, j, C, KH, KW)
    grad_padded = add_windows(np.moveaxis(grad_patches, 3, 1), padded.shape, stride)
    inside = tuple(slice(p, p + s) for p, s in zip(padding, x.shape[2:]))
    return grad_padded[:, :, *inside], grad_weight, grad_output.sum((2, 3)).sum(0)


# %% max_pool2d
def max_pool2d(x, size, stride):
    return windows(x, size, stride).max(-1).max(-1)


def max_pool2d_backward(grad_output, x, size, stride):
    patches = windows(x, size, stride)
    best = patches.reshape(*patches.shape[:4], -1).argmax(-1)
    grad_windows = np.zeros((*best.shape, size[0] * size[1]), dtype=np.float32)
    np.put_along_axis(grad_windows, best[..., None], np.float32(grad_output)[..., None], axis=-1)
    return add_windows(grad_windows.reshape(patches.shape), x.shape, stride)


# %% loss_and_gradients
def forward(parameters, images):
    p = {key: np.float32(value) for key, value in parameters.items()}
    z = conv2d(images, p["conv.weight"], p["conv.bias"], (1, 1), (1, 1))
    a = np.maximum(z, np.float32(0))
    pooled = max_pool2d(a, (2, 2), (2, 2))
    return z, a, pooled, linear(pooled.reshape(len(z), -1), p["output.weight"], p["output.bias"])


def loss_and_gradients(parameters, images, labels):
    z, a, pooled, logits = forward(parameters, images)
    grad_logits = cross_entropy_backward(logits, labels)
    grad_flat, grad_weight, grad_bias = linear_backward(
        grad_logits, pooled.reshape(len(z), -1), np.float32(parameters["output.weight"])
    )
    grad_a = max_pool2d_backward(grad_flat.reshape(pooled.shape), a, (2, 2), (2, 2))
    grads = conv2d_backward(grad_a * (z > 0), images, parameters["conv.weight"], (1, 1), (1, 1))
    return cross_entropy(logits, labels), {
        "conv.weight": grads[1],
        "conv.bias": grads[2],
        "output.weight": grad_weight,
        "output.bias": grad_bias,
    }

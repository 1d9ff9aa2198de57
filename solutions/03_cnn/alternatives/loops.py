"""Plain loops wherever the task allows them; the fast convolution loops over the kernel only."""


# %% conv2d_loops
def pad(x, padding):
    p, q = padding
    framed = np.zeros((x.shape[0], x.shape[1], x.shape[2] + 2 * p, x.shape[3] + 2 * q))
    framed[:, :, p : p + x.shape[2], q : q + x.shape[3]] = x
    return framed


def conv2d_loops(x, weight, bias, stride, padding):
    x = pad(x, padding)
    batch, channels, height, width = x.shape
    out, _, kh, kw = weight.shape
    rows = range(0, height - kh + 1, stride[0])
    columns = range(0, width - kw + 1, stride[1])
    z = np.empty((batch, out, len(rows), len(columns)))
    for n in range(batch):
        for o in range(out):
            for i, top in enumerate(rows):
                for j, left in enumerate(columns):
                    total = float(bias[o])
                    for c in range(channels):
                        for u in range(kh):
                            for v in range(kw):
                                total += x[n, c, top + u, left + v] * weight[o, c, u, v]
                    z[n, o, i, j] = total
    return z


# %% windows
def windows(x, size, stride):
    rows = range(0, x.shape[2] - size[0] + 1, stride[0])
    columns = range(0, x.shape[3] - size[1] + 1, stride[1])
    patches = [[x[:, :, i : i + size[0], j : j + size[1]] for j in columns] for i in rows]
    # (out height, out width, N, C, KH, KW) -> (N, C, out height, out width, KH, KW)
    return np.array(patches).transpose(2, 3, 0, 1, 4, 5)


# %% conv2d
def conv2d(x, weight, bias, stride, padding):
    x = pad(x, padding)
    kh, kw = weight.shape[2:]
    rows = (x.shape[2] - kh) // stride[0] + 1
    columns = (x.shape[3] - kw) // stride[1] + 1
    z = np.zeros((len(x), len(weight), rows, columns))
    z += bias.reshape(1, -1, 1, 1)
    for u in range(kh):
        for v in range(kw):
            part = x[:, :, u : u + rows * stride[0] : stride[0], v : v + columns * stride[1]]
            part = part[:, :, :, :: stride[1]]
            z += np.tensordot(weight[:, :, u, v], part, axes=(1, 1)).swapaxes(0, 1)
    return z


# %% add_windows
def add_windows(grad_windows, shape, stride):
    grad_x = np.zeros(shape)
    kh, kw = grad_windows.shape[4:]
    for i in range(grad_windows.shape[2]):
        for j in range(grad_windows.shape[3]):
            top, left = i * stride[0], j * stride[1]
            grad_x[:, :, top : top + kh, left : left + kw] += grad_windows[:, :, i, j]
    return grad_x


# %% conv2d_backward
def conv2d_backward(grad_output, x, weight, stride, padding):
    padded = pad(x, padding)
    kh, kw = weight.shape[2:]
    grad_padded, grad_weight = np.zeros(padded.shape), np.zeros(weight.shape)
    grad_bias = np.zeros(len(weight))
    for n, o, i, j in np.ndindex(grad_output.shape):
        g = grad_output[n, o, i, j]
        rows = slice(i * stride[0], i * stride[0] + kh)
        columns = slice(j * stride[1], j * stride[1] + kw)
        grad_bias[o] += g
        grad_weight[o] += g * padded[n, :, rows, columns]
        grad_padded[n, :, rows, columns] += g * weight[o]
    p, q = padding
    return [
        grad_padded[:, :, p : padded.shape[2] - p, q : padded.shape[3] - q],
        grad_weight,
        grad_bias,
    ]


# %% max_pool2d
def max_pool2d(x, size, stride):
    rows = range(0, x.shape[2] - size[0] + 1, stride[0])
    columns = range(0, x.shape[3] - size[1] + 1, stride[1])
    y = np.empty((*x.shape[:2], len(rows), len(columns)))
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            patch = x[:, :, top : top + size[0], left : left + size[1]]
            y[:, :, i, j] = np.amax(patch, axis=(2, 3))
    return y


def max_pool2d_backward(grad_output, x, size, stride):
    grad_x = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(grad_output.shape):
        best, place = -np.inf, None
        for u in range(i * stride[0], i * stride[0] + size[0]):
            for v in range(j * stride[1], j * stride[1] + size[1]):
                if x[n, c, u, v] > best:
                    best, place = x[n, c, u, v], (n, c, u, v)
        grad_x[place] += grad_output[n, c, i, j]
    return grad_x

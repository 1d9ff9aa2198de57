"""Short: lambdas, einsum, tanh for sigmoid, one batch for both kinds; PyTorch's softplus."""

# %% discriminator_loss
softplus = lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
discriminator_loss = lambda r, f: (softplus(r) - r).mean() + softplus(f).mean()
discriminator_loss_backward = lambda r, f: (
    (np.tanh(r / 2) - 1) / (2 * r.size),
    (np.tanh(f / 2) + 1) / (2 * f.size),
)


# %% generator_loss
generator_loss = lambda f, saturating=False: (
    -np.logaddexp(f, 0).mean() if saturating else np.logaddexp(-f, 0).mean()
)
generator_loss_backward = lambda f, saturating=False: (
    -(1 + (np.tanh(f / 2) if saturating else np.tanh(-f / 2))) / 2 / f.size
)


# %% discriminator_step
def discriminator_step(G, D, opt, x, z):
    opt.zero_grad()
    r, f = np.split(D(np.vstack((x, G(z)))), [len(x)])
    value = discriminator_loss(r, f)
    D.backward(np.vstack(discriminator_loss_backward(r, f)))
    opt.step()
    return value


# %% generator_step
def generator_step(G, D, opt, z, saturating=False):
    f = D(G(z))
    opt.zero_grad()
    G.backward(D.backward(generator_loss_backward(f, saturating)))
    opt.step()
    for p in D.parameters:
        p.grad[:] = 0.0
    return generator_loss(f, saturating=saturating)


# %% train_step
sample_noise = lambda n, d, rng: rng.standard_normal((n, d))


def train_step(G, D, opt_g, opt_d, x, d, rng):
    z = rng.standard_normal((2, len(x), d))
    return np.array(
        [discriminator_step(G, D, opt_d, x, z[0]), generator_step(G, D, opt_g, z[1])]
    ).tolist()


# %% count_modes
def count_modes(X, C, radius):
    squares = np.einsum("nkf,nkf->nk", X[:, None] - C[None], X[:, None] - C[None])
    # One-hot rows for the nearest center, emptied where it is too far away.
    return ((squares <= radius**2) * np.eye(len(C))[squares.argmin(1)]).sum(0)


modes_covered = lambda X, C, radius, minimum: np.count_nonzero(count_modes(X, C, radius) >= minimum)


# %% torch_train_step
def torch_train_step(G, D, opt_g, opt_d, x, z_d, z_g):
    softplus = torch.nn.functional.softplus
    opt_d.zero_grad()
    opt_g.zero_grad()
    r, f = D(torch.cat([x, G(z_d).detach()])).split([len(x), len(z_d)])
    d_loss = softplus(-r).mean() + softplus(f).mean()
    d_loss.backward()
    opt_d.step()
    g_loss = softplus(-D(G(z_g))).mean()
    for p, grad in zip(G.parameters(), torch.autograd.grad(g_loss, list(G.parameters()))):
        p.grad = grad
    opt_g.step()
    return float(d_loss.detach()), float(g_loss.detach())

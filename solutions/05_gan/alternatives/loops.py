"""One sample after the other, probabilities by name, and a forward pass for every backward pass."""


# %% discriminator_loss
def discriminator_loss(real_logits, fake_logits):
    def minus_log_probability(logit):
        # Of a yes. For large negative logits it is -logit.
        if logit < -30:
            return -logit
        return np.log1p(np.exp(-logit))

    total_real = total_fake = 0.0
    for r in real_logits.ravel():
        total_real += minus_log_probability(r)
    for f in fake_logits.ravel():
        total_fake += minus_log_probability(-f)
    return total_real / real_logits.size + total_fake / fake_logits.size


def probability(logit):
    if logit >= 0:
        return 1 / (1 + np.exp(-logit))
    return np.exp(logit) / (1 + np.exp(logit))


def discriminator_loss_backward(real_logits, fake_logits):
    slopes_real, slopes_fake = np.zeros(real_logits.shape), np.zeros(fake_logits.shape)
    for index in np.ndindex(real_logits.shape):
        slopes_real[index] = (probability(real_logits[index]) - 1) / real_logits.size
    for index in np.ndindex(fake_logits.shape):
        slopes_fake[index] = probability(fake_logits[index]) / fake_logits.size
    return [slopes_real, slopes_fake]


# %% generator_loss
def generator_loss(fake_logits, saturating=False):
    terms = []
    for f in fake_logits.ravel():
        softplus = max(f, 0.0) + np.log1p(np.exp(-abs(f)))
        terms.append(-softplus if saturating else softplus - f)
    return sum(terms) / len(terms)


def generator_loss_backward(fake_logits, saturating=False):
    slopes = []
    for f in fake_logits.ravel():
        p = probability(f)
        slopes.append((-p if saturating else p - 1) / fake_logits.size)
    return np.reshape(slopes, fake_logits.shape)


# %% discriminator_step
def discriminator_step(generator, discriminator, optimizer, real, noise):
    fake = generator(noise)
    fake_logits = discriminator(fake)
    real_logits = discriminator(real)
    value = discriminator_loss(real_logits, fake_logits)
    grad_real, grad_fake = discriminator_loss_backward(real_logits, fake_logits)
    optimizer.zero_grad()
    discriminator.backward(grad_real)
    discriminator(fake)
    discriminator.backward(grad_fake)
    optimizer.step()
    return value


# %% generator_step
def generator_step(generator, discriminator, optimizer, noise, saturating=False):
    samples = generator(noise)
    logits = discriminator(samples)
    value = generator_loss(logits, saturating)
    # What piles up in the discriminator is put away again.
    kept = [p.grad.copy() for p in discriminator.parameters]
    slopes = discriminator.backward(generator_loss_backward(logits, saturating))
    for p, grad in zip(discriminator.parameters, kept):
        p.grad = grad
    optimizer.zero_grad()
    generator.backward(slopes)
    optimizer.step()
    optimizer.zero_grad()
    return value


# %% train_step
def sample_noise(n, latent_dim, rng):
    rows = []
    for _ in range(n):
        rows.append([rng.normal() for _ in range(latent_dim)])
    return np.array(rows)


def train_step(g, d, g_optimizer, d_optimizer, real, latent_dim, rng):
    first, second = (
        sample_noise(len(real), latent_dim, rng),
        sample_noise(len(real), latent_dim, rng),
    )
    loss_d = discriminator_step(g, d, d_optimizer, real, first)
    loss_g = generator_step(g, d, g_optimizer, second, saturating=False)
    return [loss_d, loss_g]


# %% count_modes
def count_modes(samples, centers, radius):
    counts = [0] * len(centers)
    for sample in samples:
        best, shortest = None, np.inf
        for k, center in enumerate(centers):
            distance = np.sqrt(sum((a - b) ** 2 for a, b in zip(sample, center)))
            if distance < shortest:
                best, shortest = k, distance
        if shortest <= radius:
            counts[best] += 1
    return counts


def modes_covered(samples, centers, radius, minimum):
    covered = 0
    for count in count_modes(samples, centers, radius):
        if count >= minimum:
            covered += 1
    return covered


# %% torch_train_step
def torch_train_step(generator, discriminator, g_opt, d_opt, real, d_noise, g_noise):
    # No graph behind the fakes, so nothing to detach.
    with torch.no_grad():
        fake = generator(d_noise)
    discriminator.zero_grad()
    loss = torch.nn.BCEWithLogitsLoss()
    yes, no = discriminator(real), discriminator(fake)
    loss(yes, torch.ones(yes.shape, dtype=yes.dtype)).backward()
    loss(no, torch.zeros(no.shape, dtype=no.dtype)).backward()
    value_d = loss(yes, torch.ones_like(yes)).item() + loss(no, torch.zeros_like(no)).item()
    d_opt.step()
    # The discriminator is not asked for gradients here.
    for p in discriminator.parameters():
        p.requires_grad_(False)
    generator.zero_grad()
    logits = discriminator(generator(g_noise))
    value_g = loss(logits, torch.ones_like(logits))
    value_g.backward()
    g_opt.step()
    for p in discriminator.parameters():
        p.requires_grad_(True)
    return value_d, value_g.item()

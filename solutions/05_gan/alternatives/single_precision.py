"""Everything in float32, as a graphics card would compute it."""


# %% discriminator_loss
def discriminator_loss(real_logits, fake_logits):
    r, f = np.float32(real_logits), np.float32(fake_logits)
    return np.logaddexp(np.float32(0), -r).mean() + np.logaddexp(np.float32(0), f).mean()


def sigma(x):
    return np.float32(1) / (np.float32(1) + np.exp(-np.clip(np.float32(x), -80, 80)))


def discriminator_loss_backward(real_logits, fake_logits):
    return (
        (sigma(real_logits) - np.float32(1)) / np.float32(real_logits.size),
        sigma(fake_logits) / np.float32(fake_logits.size),
    )


# %% generator_loss
def generator_loss(fake_logits, saturating=False):
    f = np.asarray(fake_logits, dtype=np.float32)
    sign = np.float32(1 if saturating else -1)
    return -sign * np.logaddexp(np.float32(0), sign * f).mean(dtype=np.float32)


def generator_loss_backward(fake_logits, saturating=False):
    f = np.asarray(fake_logits, dtype=np.float32)
    slopes = sigma(f) if saturating else sigma(-f)
    slopes /= np.float32(-f.size)
    return slopes


# %% discriminator_step
def discriminator_step(generator, discriminator, optimizer, real, noise):
    optimizer.zero_grad()
    batch = np.concatenate([real, generator(noise)]).astype(np.float32)
    logits = discriminator(batch).astype(np.float32)
    kinds = logits[: len(real)], logits[len(real) :]
    discriminator.backward(np.concatenate(discriminator_loss_backward(*kinds)))
    optimizer.step()
    return discriminator_loss(*kinds)


# %% generator_step
def generator_step(generator, discriminator, optimizer, noise, saturating=False):
    optimizer.zero_grad()
    logits = discriminator(np.float32(generator(np.float32(noise)))).astype(np.float32)
    toward_real = discriminator.backward(generator_loss_backward(logits, saturating))
    generator.backward(np.float32(toward_real))
    optimizer.step()
    return generator_loss(logits, saturating)


# %% train_step
def sample_noise(n, latent_dim, rng):
    return rng.standard_normal((n, latent_dim), dtype=np.float32)


def train_step(generator, discriminator, opt_g, opt_d, real, latent_dim, rng):
    def noise():
        return sample_noise(len(real), latent_dim, rng)

    first = discriminator_step(generator, discriminator, opt_d, real, noise())
    second = generator_step(generator, discriminator, opt_g, noise())
    return first, second


# %% count_modes
def count_modes(samples, centers, radius):
    differences = samples.astype(np.float32)[:, None] - centers.astype(np.float32)
    distances = np.sqrt((differences**2).sum(axis=-1))
    nearest = np.where(distances.min(axis=-1) <= radius, distances.argmin(axis=-1), -1)
    return np.array([np.sum(nearest == k) for k in range(len(centers))], dtype=np.float32)


def modes_covered(samples, centers, radius, minimum):
    return np.float32(sum(count >= minimum for count in count_modes(samples, centers, radius)))


# %% torch_train_step
def torch_train_step(generator, discriminator, opt_g, opt_d, real, noise_d, noise_g):
    log_sigma = torch.nn.functional.logsigmoid
    generator.requires_grad_(False)
    opt_d.zero_grad(set_to_none=False)
    real_part = -log_sigma(discriminator(real).float()).mean()
    fake_part = -log_sigma(-discriminator(generator(noise_d)).float()).mean()
    (real_part + fake_part).backward()
    opt_d.step()
    generator.requires_grad_(True)
    opt_g.zero_grad()
    deceived = -log_sigma(discriminator(generator(noise_g)).float()).mean()
    deceived.backward()
    opt_g.step()
    return (real_part + fake_part).item(), deceived.item()

import pytest
import torch


def test_standardising_latents_changes_no_decoded_pixel() -> None:
    from training.autoencoder import LATENT_CHANNELS, autoencoder
    from training.latents import standardise

    torch.manual_seed(0)
    vae, images = autoencoder().eval(), torch.rand(6, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = vae.encode(images).latent_dist
        pixels = vae.decode(before.mean).sample
        standardise(vae, before.mean)
        after = vae.encode(images).latent_dist
        assert after.mean.mean((0, 2, 3)).tolist() == pytest.approx([0] * LATENT_CHANNELS, abs=1e-3)
        assert after.mean.std((0, 2, 3)).tolist() == pytest.approx([1] * LATENT_CHANNELS, abs=1e-3)
        assert torch.allclose(vae.decode(after.mean).sample, pixels, atol=1e-4)
        # the posterior's deviation is scaled as its mean is
        scale = before.mean.std((0, 2, 3))[None, :, None, None]
        assert torch.allclose(after.std * scale, before.std, rtol=1e-3)


def test_min_snr_weights_follow_the_paper() -> None:
    from diffusers import DDPMScheduler

    from training.denoiser import SCHEDULE, SNR_CAP, min_snr_weights

    scheduler = DDPMScheduler.from_config(SCHEDULE)
    steps = torch.tensor([0, 500, 999])
    share = scheduler.alphas_cumprod[steps]
    snr = share / (1 - share)
    expected = [min(value, SNR_CAP) / (value + 1) for value in snr.tolist()]
    assert min_snr_weights(scheduler, steps).tolist() == pytest.approx(expected)


def test_the_latents_are_eight_by_eight_and_the_parts_fit() -> None:
    from training.autoencoder import autoencoder
    from training.denoiser import denoiser

    vae, unet = autoencoder(), denoiser()
    with torch.no_grad():
        latents = vae.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mean
        assert latents.shape == (1, unet.config.in_channels, 8, 8)
        assert unet(latents, 5, torch.zeros(1, 77, 256)).sample.shape == latents.shape

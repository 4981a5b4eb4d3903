"""From a run's settings to its synthesizer, not yet fitted.

What enters is a config; what leaves is `Harmonic` or `MallmGan`, which only store what they are given. Who fits, loads
or asks one begins here, so that a run file means one thing.
"""

from __future__ import annotations

from dataclasses import asdict

from harmonic.config import Config
from harmonic.mallm.gan import MallmGan
from harmonic.synthesizer import Harmonic
from harmonic.table.policy import Policy


def policy_of(config: Config) -> Policy:
    """The [policy] of a run."""
    return Policy(**asdict(config.policy))


def build_synthesizer(config: Config) -> Harmonic | MallmGan:
    """The synthesizer that a run describes, unfitted."""
    return build_mallm(config) if config.run.method == "mallm" else build_harmonic(config)


def build_mallm(config: Config) -> MallmGan:
    """The MALLM-GAN that a run describes, unfitted."""
    return MallmGan(
        config.model.base,
        model=config.model,
        mallm=config.mallm,
        codec=config.prompt.codec,
        settings=config.sample,
        quantization=config.quantization,
        policy=policy_of(config),
        seed=config.run.seed,
    )


def build_harmonic(config: Config) -> Harmonic:
    """The Harmonic that a run describes, unfitted."""
    return Harmonic(
        config.model.base,
        model=config.model,
        prompt=config.prompt,
        budget=config.budget,
        train=config.train,
        lora=config.lora,
        quantization=config.quantization,
        policy=policy_of(config),
        seed=config.run.seed,
    )

"""Random numbers of one pipe: reproducible from a seed, and saved as two integers."""

from __future__ import annotations

import random
from statistics import NormalDist

from models.protocol.wires import RandomState

BLOCK = 256  # numbers made at a time; part of the format: another value is another sequence
SMALLEST = 2.0 ** -53  # the step of random.random(); stands in for 0 where 0 has no inverse
STANDARD_NORMAL = NormalDist()
PARETO_SHAPE = 3.0
PARETO_MEAN = PARETO_SHAPE / (PARETO_SHAPE - 1)
PARETO_DEVIATION = (PARETO_SHAPE / (PARETO_SHAPE - 2)) ** 0.5 / (PARETO_SHAPE - 1)


class Uniforms:
    """Uniform numbers in [0, 1). Block k comes from a Mersenne Twister seeded with (seed, k), so that the position in the
    sequence is all there is to save; the generator's own 625 words would weigh more than most pipes' frames."""

    def __init__(self, seed: int, drawn: int = 0):
        self.seed, self._blocks, self._left = seed, 0, list[float]()
        self._seek(drawn)

    @property
    def drawn(self) -> int:
        return self._blocks * BLOCK - len(self._left)

    def draw(self) -> float:
        if not self._left:
            self._refill()
        return self._left.pop()

    def save(self) -> RandomState:
        return RandomState(seed=self.seed, drawn=self.drawn)

    @staticmethod
    def restore(state: RandomState) -> Uniforms:
        return Uniforms(state.seed, state.drawn)

    def _seek(self, drawn: int) -> None:
        self._blocks, used = divmod(drawn, BLOCK)
        self._left = []
        if used:
            self._refill()
            del self._left[-used:]

    def _refill(self) -> None:
        source = random.Random(self.seed << 64 | self._blocks)
        self._left = [source.random() for _ in range(BLOCK)]
        self._blocks += 1


def deviation(distribution: str, uniform: float) -> float:
    """Inverse of the jitter's distribution function, mean 0: `uniform` to half-width 1, `normal`, `pareto` (shape 3) to deviation 1."""
    if distribution == "uniform":
        return 2 * uniform - 1
    if distribution == "normal":
        return STANDARD_NORMAL.inv_cdf(max(uniform, SMALLEST))
    return ((1 - uniform) ** (-1 / PARETO_SHAPE) - PARETO_MEAN) / PARETO_DEVIATION

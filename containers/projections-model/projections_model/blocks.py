"""Draws in blocks of `BLOCK_DRAWS`, each with random numbers of its own.

Block n uses the child n of ``SeedSequence(seed)``: its counts depend on the inputs, the data and n alone, not
on which blocks were done before, when, where or by whom.
"""

import datetime
from dataclasses import dataclass

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray
from projections_inputs import ModelInput

from projections_model import measures, parameters, seir
from projections_model.observations import Observations
from projections_model.start import Situation, start

BLOCK_DRAWS = 500


@dataclass(frozen=True)
class Span:
    """Draws ``first`` to before ``end``."""

    first: int
    end: int


def spans(draws: int) -> list[Span]:
    """The blocks of a run; the last one may be smaller."""
    return [Span(first, min(first + BLOCK_DRAWS, draws)) for first in range(0, draws, BLOCK_DRAWS)]


class Projection:
    """All that the blocks of one run share."""

    def __init__(self, chosen: ModelInput, observed: Observations) -> None:
        """Raises `ModelError` when the observations can't be fitted."""
        self.chosen = chosen
        self.situation = Situation.of(observed)
        first = observed.last + datetime.timedelta(1)
        self.first_day = first
        self.factors = measures.factors(chosen, first)
        self.reference = measures.reference(chosen, first)
        self.spans = spans(chosen.nDraws)
        self._seed = chosen.seed()

    def block(self, number: int) -> NDArray[np.int32]:
        """Counts of block ``number``: series, days, draws."""
        span = self.spans[number]
        random = Generator(PCG64(SeedSequence(self._seed, spawn_key=(number,))))
        of = parameters.sample(random, span.end - span.first)
        people, rate = start(self.situation, of, self.reference, random)
        return seir.simulate(people, rate, self.factors, of, random)

"""A stochastic SEIR model of the counties that a planner chooses, and the task that runs it.

Set before NumPy is loaded: one thread (blocks are small, a task has one CPU), and no AVX-512, whose ``exp``
differs in the last bit from that of other processors. Equal seeds give equal numbers on every machine of one
architecture.
"""

import os

VERSION = "1.0"
"""Of the numbers: changes whenever equal inputs give other curves. Checkpoints of another version are
ignored."""

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", "X86_V4 AVX512_ICL AVX512_SPR")

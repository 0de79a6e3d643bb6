"""The inputs of a projection: what is allowed, and what a run is called.

Shared by the model's image and the site's; pydantic is all it needs. Equal inputs give the same text
(`ModelInput.canonical`), hence the same run id and the same seed, on every machine.
"""

from projections_inputs.identity import NAMESPACE, input_hash, run_id, seed
from projections_inputs.model_input import DEFAULT_INPUTS, LIMITS, InputError, ModelInput

__all__ = [
    "DEFAULT_INPUTS",
    "LIMITS",
    "NAMESPACE",
    "InputError",
    "ModelInput",
    "input_hash",
    "run_id",
    "seed",
]

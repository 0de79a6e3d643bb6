"""Case data: where it comes from (``sources``), whether it is sound (``jhu``), and loading it (``load``)."""

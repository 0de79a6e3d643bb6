"""Operating transport models: image, workflow, scenarios, access and runs."""

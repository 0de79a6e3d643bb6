"""AWS on this machine: ministack as a supervised process, with the few adjustments that the sandbox needs."""

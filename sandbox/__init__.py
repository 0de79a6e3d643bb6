"""The local cloud: the engine, the emulators and the light providers that stand in for AWS and Azure."""

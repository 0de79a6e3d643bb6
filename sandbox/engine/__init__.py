"""The engine of the sandbox: its Go module and, for the engine built from it, the Python language host."""

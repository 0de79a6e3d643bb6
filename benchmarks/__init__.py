"""Measurements: how long deployments take, beside another tool on the same machine."""

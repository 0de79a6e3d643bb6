"""The light ``random`` provider: ``random:index/randomPassword:RandomPassword``, made from the system's own
source of randomness.

Inputs, outputs, limits and replacement rules are those of pulumi-random 4.21.4.
"""

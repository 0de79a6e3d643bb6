"""The Pulumi program of every stack: finds the system in the stack's name and deploys it."""

import pulumi

import stacks

stacks.deploy(pulumi.get_stack())

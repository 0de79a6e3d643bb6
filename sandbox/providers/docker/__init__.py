"""The light ``docker`` provider: ``docker:index/image:Image``, really built and pushed by the Docker engine.

The inputs and outputs are those of pulumi-docker's ``Image``; what differs is said in ``provider.py``.
"""

"""Base images of the sandbox: the official ones, else equal ones made from Debian packages.

``python -m sandbox.images ensure`` fills ``paths.base_images()``; the docker provider reads that map
through ``BENCHTOP_BASE_IMAGES``. Dockerfiles stay as they are on a real cloud: they name official images.
"""

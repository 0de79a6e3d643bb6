"""One module a service, named as in Pulumi's tokens (``aws:s3/bucket:Bucket`` is in ``s3``), each with
``RESOURCES``.
"""

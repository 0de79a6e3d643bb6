"""Light Pulumi providers: the part of a cloud provider that the local cloud needs, written in Python."""

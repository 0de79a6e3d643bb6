"""Reusable Pulumi components. Importing one has no effects; see ``parts`` for what several share."""

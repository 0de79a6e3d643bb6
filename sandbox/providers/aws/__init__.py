"""The light ``aws`` provider: a table of resource types over botocore; see ``README.md`` one folder up."""

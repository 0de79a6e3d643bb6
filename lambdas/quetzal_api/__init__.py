"""HTTP API of one Quetzal model: ``runs`` is the core that operators' tools share, ``handler`` the routes.

Only boto3 and the standard library, because Lambda's Python runtime brings no more.
"""

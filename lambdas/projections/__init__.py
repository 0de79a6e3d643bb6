"""Runs of the projections on Fargate: ``dispatch`` starts them, ``resume`` starts them again after an
interruption, ``sweep`` finds those that nobody reports.

What a run may become is decided in ``transitions``, without a cloud; ``runs`` writes it to the run table,
each time on condition of the status and attempt that were seen. Only boto3 and the standard library,
because Lambda's Python runtime brings no more.
"""

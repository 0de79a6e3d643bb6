"""What operators type: one command-line tool, one sub-command a system (``python -m ops``)."""

"""For all tests: a process that can be interrupted."""

import signal

# A shell that starts pytest in the background has it ignore SIGINT, and so would what a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

"""What the sub-commands of all systems share: stack outputs, sessions, rendering, errors."""

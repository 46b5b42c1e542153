"""Push messages to the apps of devices, by their tokens."""

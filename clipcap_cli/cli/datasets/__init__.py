"""The commands of `clipcap dataset`."""

"""The commands of `gair`, one module each. A command's signature lists its options, and is as long as they are many."""

"""Where custom tokens and token weights come from."""

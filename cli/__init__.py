"""The command `gair`: a thin shell over the library. The only place that prints and exits."""

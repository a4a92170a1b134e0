"""`gair bench reproduce`: the papers' tables with the papers' models, data and settings, by one command."""

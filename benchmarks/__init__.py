"""The papers' tables as commands (`gair bench`), and scripts that measure single things."""

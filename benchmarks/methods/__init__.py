"""The methods that the tables compare, a few lines each."""

"""Words in, vector out: the query language, and its compiler."""

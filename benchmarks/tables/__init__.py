"""The papers' tables, one file a table. Tables never import tables."""

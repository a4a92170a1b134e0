"""How gair-mini is made: one module a stage, each seeded and resumable. See README.md here."""

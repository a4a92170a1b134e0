"""Custom tokens: learned vectors that stand for a concept in a prompt."""

"""Small faithful programs that block a loop, each in its own way."""

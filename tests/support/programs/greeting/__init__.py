"""A package that can be run; being imported twice would print twice."""

print("imported", __name__)

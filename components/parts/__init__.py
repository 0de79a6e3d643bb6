"""Small parts that two or more components share."""

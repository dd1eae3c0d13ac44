"""Elements divided by what groups of them have in common."""

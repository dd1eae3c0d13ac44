"""A report as a table, JSON, HTML and JUnit XML."""

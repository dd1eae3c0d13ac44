"""A run as JSON, HTML, JUnit XML and text."""

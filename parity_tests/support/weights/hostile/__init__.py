"""Files that mean harm, by format, and what they would do."""

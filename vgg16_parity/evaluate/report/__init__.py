"""An evaluation as JSON, CSV, a page of HTML and a table."""

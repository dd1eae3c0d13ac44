"""How a runtime's results are judged."""

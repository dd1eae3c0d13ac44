"""How well the error model predicts."""

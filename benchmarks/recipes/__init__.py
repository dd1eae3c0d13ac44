"""What another preprocessing recipe than the weights' own does to the answer.

    python -m benchmarks.recipes --markdown docs/measured/recipes.md

Prepares the same two photographs by each recipe, and measures how the logits and the five likeliest
classes change from those of the recipe that the weights expect. Without --weights the weights are
seeded, and each recipe in turn is the expected one.
"""

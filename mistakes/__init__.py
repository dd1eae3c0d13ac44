"""Mistakes that people make when they port VGG16, planted one at a time."""

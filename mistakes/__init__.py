"""Common mistakes in ports of VGG16, planted one at a time."""

"""VGG16 as the paper has it, written out by hand."""

# Name, output shape (C, H, W) and parameters of every layer.
VGG16_LAYERS = (
    ("block1_conv1", (64, 224, 224), 1_792),
    ("block1_conv2", (64, 224, 224), 36_928),
    ("block1_pool", (64, 112, 112), 0),
    ("block2_conv1", (128, 112, 112), 73_856),
    ("block2_conv2", (128, 112, 112), 147_584),
    ("block2_pool", (128, 56, 56), 0),
    ("block3_conv1", (256, 56, 56), 295_168),
    ("block3_conv2", (256, 56, 56), 590_080),
    ("block3_conv3", (256, 56, 56), 590_080),
    ("block3_pool", (256, 28, 28), 0),
    ("block4_conv1", (512, 28, 28), 1_180_160),
    ("block4_conv2", (512, 28, 28), 2_359_808),
    ("block4_conv3", (512, 28, 28), 2_359_808),
    ("block4_pool", (512, 14, 14), 0),
    ("block5_conv1", (512, 14, 14), 2_359_808),
    ("block5_conv2", (512, 14, 14), 2_359_808),
    ("block5_conv3", (512, 14, 14), 2_359_808),
    ("block5_pool", (512, 7, 7), 0),
    ("flatten", (25_088,), 0),
    ("fc1", (4_096,), 102_764_544),
    ("fc2", (4_096,), 16_781_312),
    ("predictions", (1_000,), 4_097_000),
)

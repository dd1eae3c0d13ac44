"""What a Keras file says of its model: its layers, and what each computes beside a VGG."""

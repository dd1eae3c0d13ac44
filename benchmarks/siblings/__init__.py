"""Judge networks that are not VGG16: no false alarm, eight planted mistakes named at their node.

Each network comes from the library that people use, with seeded weights and running statistics that
are not trivial. ONNX Runtime, OpenVINO and the framework itself compute it; then mistakes are
planted in its graph, one at a time, and ONNX Runtime computes that.
"""

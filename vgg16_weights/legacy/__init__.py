"""The authors' and other older files: Caffe, MatConvNet, NumPy."""

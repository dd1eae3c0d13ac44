"""What the arbiter's walk costs: time and memory, beside what others do with the same file.

    python -m benchmarks.arbiter --markdown docs/measured/arbiter.md

Networks of torchvision with seeded weights, exported as they are (nothing folded), and one image of
224 pixels. Every measurement is a process of its own.

  Walk                Every value in float64, with the variance of an error in one mode; large
                      values go to files, as in every comparison.
  Operations          Twice the products of Conv, Gemm and MatMul.
  Matrix rate         Float64 operations a second of NumPy's product of two 1536 x 1536 matrices:
                      the best of several in the same process, before and after the walk, in
                      processor time.
  Over operations     The walk's processor time over that of the operations at the matrix rate: at
                      most 3. Both are of one thread, and of this process alone, so that other
                      programs on the machine matter little.
  Alone               The walk, and every node alone in ONNX Runtime, judged.
  Polygraphy          polygraphy run MODEL --onnxrt --onnx-outputs mark all. It is no dependency of
                      this project: pip install polygraphy.
  Float64             ONNX Runtime on the model converted to float64, every value an output, without
                      optimisation. Operators that it has no such kernel for stay float32.
  Memory              The process's peak of resident memory, imports and pages of mapped weights
                      included.

NumPy has one thread; ONNX Runtime has its own, as many as there are cores. Times are the minimum of
the repeats, memory is the maximum.
"""

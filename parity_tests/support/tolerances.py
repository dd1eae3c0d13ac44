"""Every tolerance that a test uses, with the reason for its size."""

from __future__ import annotations

from typing import Final

from onnx_arbiter.limits import Tolerance

FLOAT64: Final = Tolerance(
    limit=1e-12,
    reason=(
        "Two float64 evaluations of one network, or of one convolution, that sum in different "
        "orders, relative to the largest value: a few hundred unit roundoffs of 1.1e-16 were "
        "measured, the limit leaves a factor of ten. One value in float32 lands at 1e-8."
    ),
)

FLOAT32_TAPS: Final = Tolerance(
    limit=1e-5,
    reason=(
        "Two float32 evaluations of one thing, relative to the largest value: rounding in float32 "
        "through the 16 layers of VGG16 was measured at 0.08e-5 to 0.21e-5 in six runtimes."
    ),
)

DIRECT_SUMS: Final = Tolerance(
    limit=0.98,
    reason=(
        "R of a correct runtime that adds a convolution's products one by one, whatever the order "
        "and the blocks: every framework and engine measured so far stays below, layer by layer, "
        "accumulated and local, on the photographs. Winograd's algorithm lands at 1.4 to 300."
    ),
)

ACCURATE_FFT: Final = Tolerance(
    limit=0.85,
    reason=(
        "R of an FFT whose twiddles are rounded once: 0.60 to 0.80 were simulated, of radix 2, 4 "
        "and SciPy's, on noise, patches and photographs. An error that is uniform in every "
        "rounding would give 0.74. Twiddles that are off by 1.5 units more reach 0.7 to 1.2."
    ),
)

ACTIVATION_GROWTH: Final = Tolerance(
    limit=4.0,
    reason=(
        "How far a layer's rms activation may lie from the first layer's, as a factor either way. "
        "He scaling keeps the second moment; max pooling raises it a little at each block: 3 was "
        "measured after all five. Weights scaled by a wrong factor of 2 drift by 2 ** 16."
    ),
)

SEEDED_MEAN: Final = Tolerance(
    limit=5.0,
    reason=(
        "How many standard errors the mean of a seeded tensor may lie from zero: values are "
        "independent and symmetric, and the tensors are fixed, so that this cannot flake."
    ),
)

RESIZED_PIXELS: Final = Tolerance(
    limit=1,
    reason=(
        "Levels of 0 to 255 between Pillow's antialiased resize and ONNX Runtime's: both filter in "
        "fixed point, one axis after the other, and round differently. 1 is the smallest there is."
    ),
)

FLOAT16_SQNR: Final = Tolerance(
    limit=50.0,
    reason=(
        "The smallest signal-to-noise ratio, in decibels, of a layer in float16. One rounding of "
        "values with 11 bits gives 6.02 * 11 + 10.8 = 77; each layer adds its own and 16 of them "
        "cost about 12 and leave 56 at the least measured. A weight off by 5 % leaves 26."
    ),
)

INT8_SQNR: Final = Tolerance(
    limit=25.0,
    reason=(
        "The same for 8 bits with a scale for each tensor: 29 was the least on the tiny network, "
        "calibrated on the pictures that it is measured on. A layer without its scale is below 0."
    ),
)

REPORTED_DECIBELS: Final = Tolerance(
    limit=0.006,
    reason=(
        "Decibels of a report against those of the same logits: the report rounds to hundredths, "
        "which costs 0.005 at most, and 0.0043 was measured. The mean over pictures in place of "
        "the ratio of the sums is off by 0.1 to 1.4."
    ),
)

REPORTED_DIFFERENCE: Final = Tolerance(
    limit=2e-6,
    reason=(
        "Differences of logits in a bundle's record against those of another run of the same "
        "file: the record rounds to six decimals, which costs 0.5e-6 at most, and float32 adds "
        "sums of other orders. 0.8e-6 was measured; the differences themselves are 2e-3 and more."
    ),
)

LEARNT_STATISTICS: Final = Tolerance(
    limit=1e-5,
    reason=(
        "The mean and the deviation that Keras's Normalization learns in float32 against those in "
        "float64, relative: 2.2e-6 was measured at 8,192 values a channel. The deviation of a "
        "sample, with N - 1, is off by 6e-5 there, another channel's by half."
    ),
)

MODEL_FIT: Final = Tolerance(
    limit=2.0,
    reason=(
        "How far, as a factor either way, an rms error may lie from the one predicted where only "
        "rounding is at work: rounding errors are uniform over half a gap whose size depends on "
        "the mantissa, which costs up to 0.7, and 0.5 to 1.1 were measured. A missing term of "
        "length K is off by the square root of K."
    ),
)

MODE_FIT: Final = Tolerance(
    limit=2.5,
    reason=(
        "The same through a whole network whose layers have different modes: 0.40 to 0.91 were "
        "measured on three seeds. Behind few layers in few bits, errors of neighbours cancel in "
        "part. A rounding that is left out where a mode begins is a fourth of the layer's variance "
        "there, and all of it where what follows rounds nothing."
    ),
)

ONE_TERM: Final = Tolerance(
    limit=1.15,
    reason=(
        "The same where a single term of the model is held against noise of a known size: what is "
        "left is that of a few hundred samples, and of a ReLU near zero."
    ),
)

FINITE_DIFFERENCES: Final = Tolerance(
    limit=1e-6,
    reason=(
        "A central difference of the loss in float64 against the gradient along one direction, "
        "relative to the product of their lengths. Steps of 1e-6 leave 1e-16 / 1e-6 of rounding, "
        "and what kinks they cross is of the second order; 4e-9 was measured."
    ),
)

TF32_ABOVE_FLOAT32: Final = Tolerance(
    limit=10.0,
    reason=(
        "By which factor the logits' errors in TF32 must be above those of IEEE float32: the error "
        "model has 240 at the longest sum of a convolution and more at every shorter one, and the "
        "float32 errors that were measured are down to a tenth of the model's. Where TF32 was not "
        "on, or was never off, the factor is one."
    ),
)

WILSON_HILFERTY: Final = Tolerance(
    limit=1.10,
    reason=(
        "The approximation of R's limit over the exact quantile: 1.089 for a single independent "
        "error and a chance of 1e-7, 1.015 for ten, 1.002 where the limit reaches its least value."
    ),
)

COUNTED: Final = Tolerance(
    limit=0.05,
    reason=(
        "The number of independent errors is counted on 8,192 draws: with up to 300 groups, the "
        "pairs of equal ones vary by 1 %, the groups' own sizes by as much again."
    ),
)

PURE_ROUNDING: Final = Tolerance(
    limit=0.005,
    reason=(
        "R of rounding alone over a million values: the mean square of their errors varies by "
        "0.1 %, and its root by half of that; the values' sizes add as much."
    ),
)

UNIFORM_MANTISSAS: Final = Tolerance(
    limit=0.541,
    reason=(
        "Of the predicted variance, what roundings of values with evenly distributed logarithms "
        "have: 3 / (8 ln 2). u²/3 is that of the worst mantissa."
    ),
)

MEASURED_VARIANCE: Final = Tolerance(
    limit=1.13,
    reason=(
        "How far an observed variance may lie from a stated share of the predicted one, as a "
        "factor either way: 10,000 draws leave 3 % of noise, and shares are rounded. A count of "
        "roundings that is one off where it dominates, K/7 for K/6, is 1.17."
    ),
)

DEVIATIONS_OF_WALKS: Final = Tolerance(
    limit=1e-5,
    reason=(
        "Predicted deviations of two walks through one network, relative: the same float32 sums "
        "in other orders, through 16 layers."
    ),
)

FLOAT64_KERNELS: Final = Tolerance(
    limit=1e-13,
    reason="Two programs in float64, few terms a sum, values of about 1: some hundred roundings.",
)

FLOAT32_PARTS: Final = Tolerance(
    limit=1e-5,
    reason="A model in float64 with a convolution of 27 products in float32, values of about 10.",
)

EXACT_P: Final = Tolerance(
    limit=1e-9,
    reason=(
        "McNemar's p against a sum of integers, relative: the logarithm of a factorial of 50,000 "
        "is 5e5, and a float64 of that size is rounded by 6e-11. One term too few is 1 or more."
    ),
)

WILSON_DIGITS: Final = Tolerance(
    limit=0.5e-4, reason="Intervals that are in print with four decimals; nothing finer is known."
)

"""Every tolerance of the tests of operators' rules, with the reason for its size."""

from __future__ import annotations

from typing import Final

from onnx_arbiter.limits import Tolerance

OWN_LEAST: Final = Tolerance(
    limit=0.4,
    reason=(
        "R of a node alone over 200 draws, from below: the prediction is an upper bound, 0.74 is "
        "what one rounding gives, and sums that are added in blocks or fused round less often. A "
        "term that is four times too large fails."
    ),
)

OWN_MOST: Final = Tolerance(
    limit=1.05,
    reason=(
        "The same from above: over 200 draws, the rms of thousands of errors is known to 2 %. A "
        "rounding that was forgotten fails where there are few."
    ),
)

CARRIED: Final = Tolerance(
    limit=0.05,
    reason=(
        "How far the effect of errors put on a node's inputs, measured in float64, may lie from "
        "the predicted one: over 200 draws of some hundred elements, 2.5 % were measured. A slope "
        "or a term that is wrong by a factor of 1.1 fails."
    ),
)

ROUNDED_STATISTICS: Final = Tolerance(
    limit=0.2,
    reason=(
        "R of a normalisation from below, where the runtime computes its statistics in another way "
        "than the one with the largest errors, which are those predicted: sums in lanes or pairs, "
        "two passes for one, fused products. 0.23 was measured of 18 elements in PyTorch, in lanes."
    ),
)

SOFTMAX_IN_LANES: Final = Tolerance(
    limit=0.2,
    reason=(
        "R of a softmax from below: the prediction is of exponentials that are right within one "
        "unit in the last place, and of a sum of terms of one size, one after the other. Runtimes "
        "add in lanes, and where one term is far above the others, nothing is left to round: 0.25 "
        "was measured of logits with a spread of 30."
    ),
)

ERF: Final = Tolerance(
    limit=1e-15,
    reason=(
        "The error function of arrays relative to math.erf, whose own error is below 2e-16: "
        "3.4e-16 was measured over 300,000 arguments. A series one term shorter has 6e-15."
    ),
)

QUANTISED_ELSEWHERE: Final = Tolerance(
    limit=0.01,
    reason=(
        "The share of quantised integers that may be another's next: quotients err by 1e-5 of a "
        "step at most, so that one in 10,000 is that near to a half; none of 120 was."
    ),
)

FLOAT32_VARIANCES: Final = Tolerance(
    limit=1e-6,
    reason=(
        "A deviation that follows from a formula alone: variances are float32, and a few roundings "
        "of 6e-8 each are made on the way."
    ),
)

INTERPOLATED: Final = Tolerance(
    limit=1e-4,
    reason=(
        "An interpolation of values of the size of 1 on maps of up to 8 elements, against one with "
        "other weights: float32's coordinates leave 1e-5, a neighbour that is taken for another "
        "leaves more than 0.01."
    ),
)

FUNCTION_BODIES: Final = Tolerance(
    limit=0.3,
    reason=(
        "R of a function of ONNX from below: runtimes fuse its nodes, and round less often than "
        "its body does. 0.4 was measured of attention."
    ),
)

THROUGH_BODIES: Final = Tolerance(
    limit=0.15,
    reason=(
        "How far the effect of errors on the inputs of a function may lie from the predicted one: "
        "errors of inner values count as independent, but those of all scores of a query are made "
        "by the same errors of the query. 0.07 was measured of attention. A factor that is missing "
        "or counted twice is more."
    ),
)

REFERENCE: Final = Tolerance(
    limit=1e-6,
    reason="The same variances, added up in float32 in another order.",
)

PERTURBED: Final = Tolerance(
    limit=0.15,
    reason=(
        "An rms of measured effects of errors, relative to the exact one: 16 draws of a few "
        "hundred elements of very different sizes leave some percent."
    ),
)

JACOBIAN: Final = Tolerance(
    limit=1e-4,
    reason=(
        "Variances by central differences in float64, relative to the largest: the formula is "
        "evaluated in float32, with sums in float64."
    ),
)

SIMULATED_LEAST: Final = Tolerance(
    limit=0.6,
    reason=(
        "R of simulated roundings of the variance u²/3, from below: the prediction covers two ways "
        "to normalise, each of which does not have some of the roundings of the other."
    ),
)

ONNX_CASES: Final = Tolerance(
    limit=3e-3,
    reason=(
        "Values of ONNX's own cases, relative or absolute: stored in float32 or float16, of "
        "which a chain of operators leaves 1e-3. Another attribute or axis leaves 0.01 and more."
    ),
)

ONNX_CASES_BFLOAT16: Final = Tolerance(
    limit=0.03,
    reason="The same of cases that are computed in bfloat16, eight times as coarse as float16.",
)

COMMON_LEAST: Final = Tolerance(
    limit=0.2,
    reason=(
        "R of a mean behind a BatchNorm from below: half of the BatchNorm's predicted variance is "
        "taken to be the same in a whole channel, an upper bound; runtimes round its factor two to "
        "four times."
    ),
)

TOGETHER: Final = Tolerance(
    limit=0.1,
    reason=(
        "How far below the prediction the errors of x times sigmoid(x) may lie where x > 1: both "
        "factors err the same way there, as predicted; the roundings of the two operators add to "
        "the prediction alone, less than the errors of a sum of 400 products."
    ),
)

IN_PROPORTION: Final = Tolerance(
    limit=1e-5,
    reason=(
        "Variances found by changing inputs a little, of errors of two sizes: the values that are "
        "subtracted are float64, but their differences have few digits left. An effect that is not "
        "in proportion differs by the ratio of the sizes."
    ),
)

EXACT_INTEGERS: Final = Tolerance(
    limit=1e-30,
    reason=(
        "The deviation of whole numbers that are exact: only float32's smallest number, some "
        "1e-38. One rounding of the smallest of them, 1, is 3e-8."
    ),
)

NO_STEP: Final = Tolerance(
    limit=1e-5,
    reason=(
        "The deviation of a value that no error takes over a step, in steps: the rounding of the "
        "dequantised value alone, some 1e-7. One that may be a step off has a deviation of 1."
    ),
)

PRINTED: Final = Tolerance(
    limit=0.01,
    reason="A figure that a script prints with three digits, and the same figure in full.",
)

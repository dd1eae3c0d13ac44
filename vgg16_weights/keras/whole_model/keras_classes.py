"""The classes and functions of Keras's own that a saved model may name.

Those of Keras 1, 2 and 3, under every name that it saves them by, without the ones that carry code
or name a program to load: ``Lambda``, ``Merge``, ``TensorFlowOpLayer``, ``TFSMLayer``,
``TorchModuleWrapper``, ``JaxLayer``, ``FlaxLayer``.
"""

from __future__ import annotations

from typing import Final

_MODELS: Final = "Functional Model Network Sequential"
_LAYERS: Final = """
Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D
AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add
AdditiveAttention AlphaDropout AtrousConvolution1D AtrousConvolution2D Attention AugMix AutoContrast
Average AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization BatchNormalizationV1
BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop Concatenate
ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D Convolution2D Convolution3D
Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM CutMix Deconvolution2D Dense DepthwiseConv1D
DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Equalization Flatten GRU
GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
GroupQueryAttention GroupedQueryAttention HashedCrossing Hashing Highway Identity InputLayer
IntegerLookup LSTM LSTMCell
LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxNumBoundingBoxes
MaxPooling1D MaxPooling2D MaxPooling3D Maximum MaxoutDense MelSpectrogram Minimum MixUp
MultiHeadAttention Multiply Normalization PReLU ParametricSoftplus Permute Pipeline RMSNormalization
RNN RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight
RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation
RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling
Reshape Resizing ReversibleEmbedding SReLU STFTSpectrogram SeparableConv1D SeparableConv2D
SeparableConvolution2D SimpleRNN SimpleRNNCell SlicingOpLambda Softmax Solarization SpatialDropout1D
SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells StringLookup Subtract
SyncBatchNormalization TFOpLambda TextVectorization ThresholdedReLU TimeDistributed
TimeDistributedDense UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
ZeroPadding2D ZeroPadding3D
"""
_INITIALIZERS: Final = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal
LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer
TruncatedNormal VarianceScaling Zeros
"""
_REGULARIZERS: Final = """
ActivityRegularizer L1 L1L2 L2 OrthogonalRegularizer WeightRegularizer
"""
_CONSTRAINTS: Final = "MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm"
_POLICIES: Final = """
AWQConfig AWQDTypePolicy AbsMaxQuantizer DTypePolicy DTypePolicyMap Float8QuantizationConfig
FloatDTypePolicy GPTQConfig GPTQDTypePolicy Int4DTypePolicy Int4QuantizationConfig
Int8QuantizationConfig Policy PolicyV1 QuantizationConfig QuantizedDTypePolicy
QuantizedFloat8DTypePolicy
"""
# What stands for a value, not for an object.
_VALUES: Final = """
Ellipsis TensorShape __bytes__ __complex__ __ellipsis__ __keras_tensor__ __numpy__ __slice__
__tensor__ __tuple__
"""
KERAS_CLASSES: Final = frozenset(
    " ".join(
        (_MODELS, _LAYERS, _INITIALIZERS, _REGULARIZERS, _CONSTRAINTS, _POLICIES, _VALUES)
    ).split()
)
# Objects of Keras that are functions: activations, and what older versions save so.
_FUNCTIONS: Final = """
celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu
linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus
softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
"""
KERAS_FUNCTIONS: Final = frozenset(_FUNCTIONS.split())
# Where TensorFlow keeps the functions that Keras 2 saves as layers.
TENSORFLOW_FUNCTIONS: Final = (
    *("__operators__", "math", "nn", "linalg", "image", "cast", "clip_by_value", "concat"),
    *("convert_to_tensor", "expand_dims", "identity", "reshape", "reverse", "squeeze", "stack"),
    *("transpose", "compat"),
)

"""The network in each framework, ready to run in a worker's process.

An adapter sets its framework up for the job's lane, loads the weights, and then computes logits,
taps and layers. Everything in and out is NumPy, maps as (N, C, H, W).
"""

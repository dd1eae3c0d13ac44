"""A Ray cluster of two nodes on this machine, each some processes, one of which may be killed.

Run as a module with ``OUT WHAT``: a process of its own, since Ray changes signals, threads and
warnings of the process that it is in.
"""

"""The data sets that people keep images in: folders, lists, tar shards and Parquet files."""

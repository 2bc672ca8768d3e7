"""Requests: work in memory that a checkpoint keeps."""

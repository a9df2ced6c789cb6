"""Hessians of torch's tensors; run where torch is installed."""

"""Stores of minutes. Each adapter keeps and reads; what the minutes mean is decided elsewhere."""

"""The demo: a real cluster, a shop, a bad release, and the way back."""

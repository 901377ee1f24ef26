"""Schedules and Backups while this process leads: what they need in the cluster, and what is told of them."""

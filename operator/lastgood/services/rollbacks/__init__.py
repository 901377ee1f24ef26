"""Rollbacks under way: each step gathered, decided, done and told, so that any process can go on."""

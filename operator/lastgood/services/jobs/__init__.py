"""What runs in the pods of backup jobs: one task of one schedule, from its start to its result."""

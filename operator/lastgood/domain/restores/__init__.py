"""What decides about Restores: the point, the seven steps, what stands after a failure, and the plan. Pure."""

"""All that decides. Pure functions of (spec, observation, state, now); no clock, no I/O, no Kubernetes client."""

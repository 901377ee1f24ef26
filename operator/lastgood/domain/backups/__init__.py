"""What decides about backups: chains, contiguity, retention, plans of jobs, RPO and RTO. Pure."""

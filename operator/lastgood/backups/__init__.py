"""Adapters of backup jobs: restic, PostgreSQL's tools, Redis, files. They run in the pods of jobs."""

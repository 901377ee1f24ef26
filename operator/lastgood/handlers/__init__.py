"""Kopf: from watch events to the table. Nothing here decides, writes to the cluster, or raises."""

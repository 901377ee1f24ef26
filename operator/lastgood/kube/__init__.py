"""The Kubernetes API, as adapters behind the ports of the domain."""

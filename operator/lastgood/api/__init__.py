"""The kinds of API group ``lastgood.dev``: the one source of truth for CRDs, validation and reference docs."""

GROUP = "lastgood.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

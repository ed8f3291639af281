"""Readers of annotation files that several collections share: tables, manifests, pickles, mirdata loaders."""

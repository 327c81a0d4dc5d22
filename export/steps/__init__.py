"""The steps of an export in their order: what is stale, what is done, and packing the bundle."""

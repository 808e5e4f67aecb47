"""Map-reduce: workers map events, one reducer reduces what they return."""

"""The operator: kopf events -> store -> work queue -> observe, plan, apply."""

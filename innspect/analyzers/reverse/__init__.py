"""Methods that are one backward pass through the model: the plan, its passes, rules as a table."""

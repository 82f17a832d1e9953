"""Which method should I take here? `innspect.choose` tries what a model allows, picks on one half, and reports on the other."""

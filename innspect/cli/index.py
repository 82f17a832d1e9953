"""What explanations.json holds: predictions, what was explained, where in the photograph, what was skipped, the settings."""

_MOST = 1000  # labels, and outputs of an input, that it lists


def content(given, source, result, labels):
    """A dict for JSON."""
    return {
        "model": given.model,
        "preprocess": given.preprocess or "none",
        "output": given.output,
        **({"labels": list(labels)} if labels is not None and len(labels) <= _MOST else {}),
        **({} if source.arrays else {"resize": given.resize}),
        "inputs": [
            {
                "name": name,
                "file": source.files[i],
                "prediction": result.outputs[i].tolist() if result.outputs[i].size <= _MOST else None,
            }
            | ({} if source.arrays else _photograph(source, i))
            | ({} if result.neurons is None else _explained(result, i, labels))
            for i, name in enumerate(source.names)
        ],
        "skipped": [{"file": path, "reason": reason} for path, reason in source.skipped],
        "methods": {label: method.settings for label, method in result.methods.items()},
    }


def _photograph(source, i):
    """Its width and height upright, and the edges of what the network saw of it, in pixels."""
    size = source.size(i)
    return {"size": list(size), "seen": source.frame(i).pixels(size)}


def _explained(result, i, labels):
    from innspect.visualize.captions import output_of

    numbers = result.neurons[:, i].tolist()
    found = {"explained": numbers, "outputs": [output_of(result.outputs[i], n) for n in numbers]}
    return found | ({} if labels is None else {"labels": [labels[n] for n in numbers]})

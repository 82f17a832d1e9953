"""Running a graph, or a part of it: the one place where values pass from node to node."""


class Interpreter:
    """Computes some tensors from the values of others, and forgets each value after its last use.

    Args:
        steps: Nodes in the order of computation, or whatever else has `inputs` and `outputs`.
        inputs: Tensors whose values are given.
        outputs: Tensors whose values are wanted.
    """

    def __init__(self, steps, inputs, outputs):
        self.steps, self.inputs, self.outputs = tuple(steps), tuple(inputs), tuple(outputs)
        last = {t: i for i, step in enumerate(self.steps) for t in (*step.outputs, *step.inputs)}
        for tensor in self.outputs:
            last.pop(tensor, None)
        self._forgotten = [[] for _ in self.steps]
        for tensor, i in last.items():
            self._forgotten[i].append(tensor)

    @classmethod
    def of(cls, graph, *outputs):
        """From the inputs of `graph` to some of its tensors."""
        return cls(graph.ancestors(outputs), graph.inputs, outputs)

    def __call__(self, values, visit=None):
        """The values of the outputs, a list.

        Args:
            values: Of the inputs.
            visit: A function `(step, values of its inputs) -> values of its outputs`; None calls the nodes.
        """
        env = dict(zip(self.inputs, values, strict=True))
        for step, forgotten in zip(self.steps, self._forgotten, strict=True):
            given = [env[t] for t in step.inputs]
            made = step(*given) if visit is None else visit(step, given)
            env.update(zip(step.outputs, made, strict=True))
            for tensor in forgotten:
                del env[tensor]
        return [env[t] for t in self.outputs]

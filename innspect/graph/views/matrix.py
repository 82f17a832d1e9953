"""The affine view of a matrix product with a constant."""

from collections.abc import Callable

from innspect.graph.ir import live
from innspect.graph.views.affine import Affine
from innspect.types import BackendTensor


class ConstantMatrix(Affine):
    """An operation such as `ops.matmul(x, w)` with one operand that does not depend on the input."""

    def __init__(
        self,
        function: Callable[[BackendTensor, BackendTensor], BackendTensor],
        kernel: BackendTensor,
        family: str = "dense",
        output_axis: int = -1,
    ):
        self._function, self._kernel, self.family = function, kernel, family
        self.output_axis = self.input_axis = output_axis

    def kernel(self) -> BackendTensor:
        return live(self._kernel)

    def bias(self) -> BackendTensor | None:
        return None

    def linear(self, x: BackendTensor, kernel: BackendTensor) -> BackendTensor:
        return self._function(x, kernel)

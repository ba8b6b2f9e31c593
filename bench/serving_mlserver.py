"""MLServer with a runtime of one class, in the server's own process: `mlserver start FOLDER`. It speaks the Open Inference Protocol."""

from __future__ import annotations

from mlserver import MLModel, types

from bench.serving_model import Model


class Flights(MLModel):  # type: ignore[misc]  # untyped here: it is installed in an environment of its own
    """A tensor a column in, a tensor an output out."""

    async def load(self) -> bool:
        """Load the model."""
        self.model = Model()
        return True

    async def predict(self, payload: types.InferenceRequest) -> types.InferenceResponse:
        """Tensors are taken as the lists that they came as: MLServer's codecs, through arrays, take longer."""
        columns = {tensor.name: tensor.data.root for tensor in payload.inputs}
        numbers = list(zip(*(columns[name] for name in self.model.numbers), strict=True))
        said = self.model.said(numbers, [columns[name] for name in self.model.words])
        outputs = [
            types.ResponseOutput(name=name, shape=[len(said)], datatype=kind, data=[row[name] for row in said])
            for name, kind in (("score", "FP64"), ("decision", "BOOL"))
        ]
        return types.InferenceResponse(model_name=self.name, outputs=outputs)

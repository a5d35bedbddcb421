#pragma once
#include <map>
#include <string>

#include "cks/layers/module.h"

namespace cks {

/// What export_onnx() writes beside the network.
struct OnnxOptions {
  /// For programs that read the file: metadata_props, such as checkpoint_metadata() makes them.
  std::map<std::string, std::string> metadata{};
};

/// Writes a model as an ONNX file, in evaluation mode, for inference elsewhere.
///
///   export_onnx(net, {28, 28, 1}, "net.onnx");
///
/// The graph is that of the operations which a forward pass records on the tape, whoever calls
/// them: layers, models, functions between them. What does not depend on the input is a constant
/// and keeps its key of the state_dict where it is a parameter or a buffer.
///
/// Input    `input_shape` is that of one input, without the batch: [H,W,C] of images, [features].
///          The file's has the name "input", the free batch dimension N in front and, if it is one
///          of images, channels before rows and columns, as elsewhere: [N,C,H,W].
/// Output   the name "output"; of rank 4 it is [N,C,H,W], too, otherwise as in CKS.
/// Format   opset 18, IR version 8; element types are the model's. Filters lie as in the
///          state_dict, so that no transposition is left between layers of images.
/// Throws   Error, naming the path and type of the module, if an operation has no counterpart in
///          ONNX (training-mode batch normalisation and operations of one's own among them), if
///          something was computed from the input off the tape, so that ONNX would keep it as it
///          was here, or if the graph depends on the size of the batch; if the file would exceed
///          2 GiB. IoError. What the forward pass throws. The model stays as it was.
void export_onnx(Module& model, const Shape& input_shape, const std::string& path,
                 const OnnxOptions& options = {});

}  // namespace cks

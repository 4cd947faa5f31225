// The operators' schema, once for every device, and the Python module that carries it.

#include <Python.h>
#include <torch/library.h>

TORCH_LIBRARY(pading_ops, m) {
  m.def(
      "ms_deform_attn(Tensor value, Tensor spatial_shapes, Tensor level_start_index, "
      "Tensor sampling_locations, Tensor attention_weights) -> Tensor");
  m.def(
      "ms_deform_attn_backward(Tensor grad_output, Tensor value, Tensor spatial_shapes, "
      "Tensor level_start_index, Tensor sampling_locations, Tensor attention_weights) "
      "-> (Tensor grad_value, Tensor grad_sampling_locations, Tensor grad_attention_weights)");
  // The instruction set that the CPU kernels use here: "avx512", "avx2" or "portable".
  m.def("cpu_kernels() -> str");
}

// Importing pading_ops._C loads this library, and with it the registrations.
static PyModuleDef module_definition = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1, nullptr};

PyMODINIT_FUNC PyInit__C(void) { return PyModule_Create(&module_definition); }

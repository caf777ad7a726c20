// SPDX-License-Identifier: BSD-3-Clause
//
// Conversions between vectors and tensors.

#ifndef PET_TENSORS_H
#define PET_TENSORS_H

#include <ATen/ATen.h>

#include <vector>

namespace pet {

/// Copies values to a tensor on a device.
template <typename T>
at::Tensor to_tensor(const std::vector<T> &values, at::IntArrayRef shape, at::ScalarType type,
                     at::Device device)
{
  const at::TensorOptions options = at::TensorOptions().dtype(type);
  if (values.empty()) return at::empty(shape, options.device(device));
  // The clone does not depend on the memory of the vector.
  return at::from_blob(const_cast<T *>(values.data()), shape, options).clone().to(device);
}

/// Returns rows of three numbers as a tensor on a device, which may share the memory of `values`.
template <typename Values> at::Tensor as_rows(const Values &values, at::Device device)
{
  const auto rows = static_cast<std::int64_t>(values.size() / 3);
  return at::from_blob(const_cast<double *>(values.data()), {rows, 3}, at::kDouble).to(device);
}

/// Copies all numbers of a tensor.
inline std::vector<double> to_vector(const at::Tensor &tensor)
{
  const at::Tensor flat = tensor.to(at::kCPU, at::kDouble).contiguous();
  const double *data = flat.const_data_ptr<double>();
  return {data, data + flat.numel()};
}

}    // namespace pet

#endif

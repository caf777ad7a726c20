// SPDX-License-Identifier: BSD-3-Clause

#include "compiled.h"

#include "shared_rules.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <algorithm>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

/// A file that exists as long as this object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string &content)
      : path_((std::filesystem::temp_directory_path() / "pet-network-XXXXXX.pt2").string())
  {
    const int handle = mkstemps(path_.data(), 4);
    if (handle < 0)
      throw std::runtime_error("cannot write " + path_ + ": set TMPDIR to a writable folder");
    close(handle);
    std::ofstream stream(path_, std::ios::binary);
    stream << content;
    stream.close();
    if (stream) return;
    std::filesystem::remove(path_);
    throw std::runtime_error("cannot write " + path_ + ": the disk is full; set TMPDIR to another "
                             "folder");
  }
  ~TemporaryFile()
  {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile &) = delete;
  TemporaryFile &operator=(const TemporaryFile &) = delete;
  const std::string &path() const { return path_; }

 private:
  std::string path_;
};

/// Returns the architecture of a GPU, such as "sm_90".  Asks the CUDA driver, which torch has
/// loaded, because the plugin is built without CUDA.
std::string gpu_architecture(int index)
{
  constexpr int MAJOR = 75, MINOR = 76;    // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_...
  void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  using Attribute = int (*)(int *, int, int);
  Attribute attribute = nullptr;
  if (driver != nullptr)
    attribute = reinterpret_cast<Attribute>(dlsym(driver, "cuDeviceGetAttribute"));
  int major = 0, minor = 0;
  const bool known = attribute != nullptr && attribute(&major, MAJOR, index) == 0 &&
      attribute(&minor, MINOR, index) == 0;
  if (driver != nullptr) dlclose(driver);
  return known ? "sm_" + std::to_string(major) + std::to_string(minor) : "an unknown kind of GPU";
}

}    // namespace

pet::Compiled::Compiled(const std::string &path, c10::DeviceIndex index, torch::jit::Module plain)
    : loader_(path, "model", false, 1, index), plain_(std::move(plain))
{
}

std::unique_ptr<pet::Compiled> pet::Compiled::attach(torch::jit::Module &archive,
                                                     const std::string &package, at::Device device,
                                                     std::string &note)
{
  if (package.empty()) return nullptr;
  const auto made_for = archive.attr("compiled_for").toListRef();
  const std::string type = made_for[0].toStringRef(), target = made_for[1].toStringRef(),
                    release = made_for[2].toStringRef();
  const bool on_gpu = device.is_cuda();
  if (type != (on_gpu ? "cuda" : "cpu")) return nullptr;
  const std::string here =
      on_gpu ? gpu_architecture(std::max<int>(0, device.index())) : at::get_cpu_capability();
  if (target != here || release != TORCH_VERSION) {
    note = "the network was compiled for " + target + " and torch " + release + ", this is " +
        here + " and torch " TORCH_VERSION ": it runs uncompiled; export the archive again here";
    return nullptr;
  }
  std::unique_ptr<Compiled> compiled;
  try {
    const TemporaryFile file(package);
    compiled.reset(new Compiled(file.path(), on_gpu ? device.index() : c10::DeviceIndex{-1},
                                archive.attr("network").toModule()));
  } catch (const std::exception &error) {
    const std::string message = error.what();
    note = "the compiled network cannot be loaded (" + message.substr(0, message.find('\n')) +
        "): it runs uncompiled; export the archive again here";
    return nullptr;
  }
  compiled->attach_to(archive);
  return compiled;
}

pet::NetworkOutput pet::Compiled::differentiate(const NetworkInput &input)
{
  const auto &[species, vectors, factors, centers, neighbors, reverse, grad_outputs] = input;
  // torch compiles for sizes above one only.
  if (species.size(0) < 2 || centers.size(0) < 2) {
    const auto outputs = plain_
        .get_method("differentiate")({species, vectors, factors, centers, neighbors, reverse,
                                      grad_outputs})
        .toTuple();
    const auto output = [&](int k) { return outputs->elements()[k].toTensor(); };
    return {output(0), output(1), output(2)};
  }
  // The padded edge tables have a column for the central token and one per neighbour.
  const at::Tensor counts = at::zeros({species.size(0)}, centers.options())
                                .index_add_(0, centers, at::ones_like(centers));
  const std::int64_t width = 1 + counts.max().item<std::int64_t>();
  if (width > LARGEST_WIDTH)
    throw std::runtime_error("an atom has " + std::to_string(width - 1) +
                             " neighbors: a compiled network takes " +
                             std::to_string(LARGEST_WIDTH - 1));
  const at::Tensor columns = at::arange(width, centers.options());
  const at::NoGradGuard no_gradients;
  // torch creates its events on the current device of the thread.
  const c10::DeviceGuard guard(species.device());
  const std::vector<at::Tensor> found = loader_.run(
      {species.contiguous(), vectors.contiguous(), factors.contiguous(), centers.contiguous(),
       neighbors.contiguous(), reverse.contiguous(), grad_outputs.to(at::kDouble).contiguous(),
       columns});
  return {found[0], found[1], found[2]};
}

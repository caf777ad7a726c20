// The compiled network as an operator of torch, which TorchScript can call.

#include "compiled.h"

#include "backend.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <torch/library.h>
#include <torch/version.h>

#include <algorithm>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

constexpr std::int64_t LARGEST_WIDTH = 4096;    // as in pet_driver/compiled/build.py

std::tuple<at::Tensor, at::Tensor, at::Tensor>
differentiate(std::int64_t handle, const at::Tensor &species, const at::Tensor &vectors,
              const at::Tensor &factors, const at::Tensor &centers, const at::Tensor &neighbors,
              const at::Tensor &reverse, const at::Tensor &seeds)
{
  return reinterpret_cast<pet::Compiled *>(handle)->differentiate(species, vectors, factors, centers,
                                                                  neighbors, reverse, seeds);
}

TORCH_LIBRARY_FRAGMENT(PET_OPERATORS, library)
{
  library.def("differentiate_compiled" PET_NETWORK_SCHEMA, &differentiate);
}

// What was not compiled are structures without sizes.
constexpr const char *DIFFERENTIATE = R"(
def differentiate(self, species: Tensor, vectors: Tensor, factors: Tensor, centers: Tensor,
                  neighbors: Tensor, reverse: Tensor,
                  seeds: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    if species.shape[0] < 2 or centers.shape[0] < 2:
        return self.plain.differentiate(species, vectors, factors, centers, neighbors, reverse,
                                        seeds)
    return operators.differentiate_compiled(self.handle, species, vectors, factors, centers,
                                            neighbors, reverse, seeds)
)";

/// A file that is there as long as this object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string &content)
      : path_((std::filesystem::temp_directory_path() / "pet-network-XXXXXX.pt2").string())
  {
    const int handle = mkstemps(path_.data(), 4);
    if (handle < 0) throw std::runtime_error("cannot write " + path_ + ": set TMPDIR to a folder "
                                             "that you may write");
    close(handle);
    std::ofstream stream(path_, std::ios::binary);
    stream << content;
    stream.close();
    if (stream) return;
    std::filesystem::remove(path_);
    throw std::runtime_error("cannot write " + path_ + " whole: the disk is full; set TMPDIR to "
                             "another folder");
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

/// "sm_90", from the driver of CUDA, which torch has loaded: the plugin is built without CUDA.
std::string kind_of_gpu(int index)
{
  constexpr int MAJOR = 75, MINOR = 76;    // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_...
  void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  using Attribute = int (*)(int *, int, int);
  const auto attribute =
      driver == nullptr ? nullptr : reinterpret_cast<Attribute>(dlsym(driver, "cuDeviceGetAttribute"));
  int major = 0, minor = 0;
  const bool known = attribute != nullptr && attribute(&major, MAJOR, index) == 0 &&
      attribute(&minor, MINOR, index) == 0;
  if (driver != nullptr) dlclose(driver);
  return known ? "sm_" + std::to_string(major) + std::to_string(minor) : "an unknown kind of GPU";
}

}    // namespace

std::unique_ptr<pet::Compiled> pet::Compiled::attach(torch::jit::Module &module,
                                                     const std::string &package, at::Device device,
                                                     std::string &note)
{
  if (package.empty()) return nullptr;
  const auto made_for = module.attr("compiled_for").toListRef();
  const std::string type = made_for[0].toStringRef(), target = made_for[1].toStringRef(),
                    release = made_for[2].toStringRef();
  if (type != (device.is_cuda() ? "cuda" : "cpu")) return nullptr;
  const std::string here =
      device.is_cuda() ? kind_of_gpu(std::max<int>(0, device.index())) : at::get_cpu_capability();
  if (target != here || release != TORCH_VERSION) {
    note = "the network was compiled for " + target + " and torch " + release + ", this is " + here +
        " and torch " TORCH_VERSION ": it runs uncompiled; export the archive again here";
    return nullptr;
  }
  std::unique_ptr<Compiled> compiled;
  try {
    const TemporaryFile file(package);
    compiled.reset(
        new Compiled(file.path(), device.is_cuda() ? device.index() : c10::DeviceIndex{-1}));
  } catch (const std::exception &error) {
    const std::string said = error.what();
    note = "the compiled network cannot be loaded (" + said.substr(0, said.find('\n')) +
        "): it runs uncompiled; export the archive again here";
    return nullptr;
  }

  torch::jit::Module backend("__torch__.CompiledNetwork");
  backend.register_module("plain", module.attr("network").toModule());
  backend.register_attribute("handle", c10::IntType::get(),
                              reinterpret_cast<std::int64_t>(compiled.get()));
  backend.define(DIFFERENTIATE, std::make_shared<OperatorResolver>());
  module.setattr("network", backend._ivalue());
  return compiled;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor>
pet::Compiled::differentiate(const at::Tensor &species, const at::Tensor &vectors,
                             const at::Tensor &factors, const at::Tensor &centers,
                             const at::Tensor &neighbors, const at::Tensor &reverse,
                             const at::Tensor &seeds)
{
  // The tables of attention are as wide as the largest number of neighbours asks for.
  const at::Tensor counts = at::zeros({species.size(0)}, centers.options())
                                .index_add_(0, centers, at::ones_like(centers));
  const std::int64_t width = 1 + counts.max().item<std::int64_t>();
  if (width > LARGEST_WIDTH)
    throw std::runtime_error("an atom has " + std::to_string(width - 1) +
                             " neighbors: a compiled network takes " +
                             std::to_string(LARGEST_WIDTH - 1));
  const at::Tensor columns = at::arange(width, centers.options());
  const at::NoGradGuard no_gradients;
  const c10::DeviceGuard guard(species.device());    // events are made on the thread's own device
  const std::vector<at::Tensor> found = loader_.run(
      {species.contiguous(), vectors.contiguous(), factors.contiguous(), centers.contiguous(),
       neighbors.contiguous(), reverse.contiguous(), seeds.to(at::kDouble).contiguous(), columns});
  return {found[0], found[1], found[2]};
}

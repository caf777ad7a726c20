// A network of an archive, replaced by a module whose code is written here.

#ifndef PET_STAND_IN_H
#define PET_STAND_IN_H

#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>

#include <memory>
#include <string>

namespace pet {

// PET_OPERATORS, the namespace of operators, comes from the build: every plugin has its own, for
// several may be loaded, and pet-driver's Python beside them.

/// What all networks take and give, as operators of PET_OPERATORS do after a handle.
#define PET_NETWORK_SCHEMA                                                              \
  "(int network, Tensor species, Tensor vectors, Tensor factors, Tensor centers, "      \
  "Tensor neighbors, Tensor reverse, Tensor seeds) -> (Tensor, Tensor, Tensor)"

/// What "operators" means in the code of a stand-in.
struct OperatorResolver : torch::jit::Resolver {
  std::shared_ptr<torch::jit::SugaredValue> resolveValue(const std::string &name,
                                                         torch::jit::GraphFunction &,
                                                         const torch::jit::SourceRange &) override
  {
    if (name != "operators") return nullptr;
    return std::make_shared<torch::jit::BuiltinModule>(C10_STRINGIZE(PET_OPERATORS));
  }
};

}    // namespace pet

#endif

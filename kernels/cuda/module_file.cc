#include "kernels/cuda/module_file.h"

#include <dlfcn.h>

#include <cstdlib>
#include <system_error>

namespace quantized::kernels {

namespace fs = std::filesystem;

namespace {

bool HasDriver(std::string& why_not) {
  if (dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr) return true;
  why_not = "this machine has no NVIDIA driver (libcuda.so.1)";
  return false;
}

}  // namespace

std::optional<fs::path> FindModule(const char* file_name, const char* override_variable,
                                   std::string& why_not) {
  if (const char* file = std::getenv(override_variable)) return file;
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& file : {folder / file_name, folder.parent_path() / "lib" / file_name}) {
    if (fs::exists(file, error)) return HasDriver(why_not) ? std::optional(file) : std::nullopt;
  }
  why_not = std::string("this build has no ") + file_name + " beside its programs";
  return std::nullopt;
}

void* OpenModule(const fs::path& file, const char* symbol, std::string& why_not) {
  void* module = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  void* found = module != nullptr ? dlsym(module, symbol) : nullptr;
  if (found == nullptr) why_not = dlerror();
  return found;
}

}  // namespace quantized::kernels

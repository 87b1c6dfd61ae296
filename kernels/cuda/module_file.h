// Where a CUDA module lies, and the function that gives its table. Modules are opened when they are
// asked for; nothing links them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace quantized::kernels {

// The module beside the running program, or in the lib folder beside the program's; or the file
// that the environment variable `override_variable` names, which is for tests. Nothing, with the
// reason, where there is no such file, or no driver for it: opened, it would cost the memory of
// the libraries that it links (63 MB of cuBLAS).
std::optional<std::filesystem::path> FindModule(const char* file_name,
                                                const char* override_variable,
                                                std::string& why_not);

// The function `symbol` of the module, which stays open until the process ends. Null, with what the
// loader says, where something is missing.
void* OpenModule(const std::filesystem::path& file, const char* symbol, std::string& why_not);

}  // namespace quantized::kernels

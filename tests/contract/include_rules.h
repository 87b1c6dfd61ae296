// Who may include what: the layout of docs/architecture.md as a table, and a reader of every
// #include that holds the tree to it. Knows #include lines only, not the preprocessor: an include
// inside #if counts, which is stricter.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace quantized::testing {

// One line per include below `root` that the rules forbid: "FILE includes HEADER: why".
std::vector<std::string> ForbiddenIncludes(const std::filesystem::path& root);

// Files of ours below `root` that ForbiddenIncludes reads.
std::vector<std::filesystem::path> SourceFiles(const std::filesystem::path& root);

}  // namespace quantized::testing

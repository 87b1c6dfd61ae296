#include "tests/contract/include_rules.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <initializer_list>
#include <optional>
#include <regex>
#include <span>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace quantized::testing {
namespace {

// The rows of the top folders, in order: a folder includes itself, rows above it in its own top
// folder (a smaller number), and what kTopEdges grants. The first row whose folder is a prefix of
// the file's holds; so "kernels" alone stands for any operation of its own.
struct Row {
  std::string_view folder;
  int rank;
};
constexpr Row kRows[] = {
    {"kernels/types", 0},
    {"kernels/lanes", 1},          // lane tricks that several operations need
    {"kernels/search", 2},         // searches that several operations need
    {"kernels/packed_scales", 3},  // 6-bit scales that several operations need
    {"kernels/iq_grids", 3},       // grids that several operations round to
    {"kernels/iq1_levels", 4},     // what two operations share, each of these
    {"kernels/iq4_levels", 4},
    {"kernels/ternary", 4},
    {"kernels/fp4", 4},
    {"kernels/blas", 4},  // attention is made of matrix products
    {"kernels/group_range", 4},
    {"kernels/codecs", 6},
    {"kernels/cuda", 7},          // its tests compare with the codecs
    {"kernels/forward_cuda", 8},  // has the codes and statuses of kernels/cuda
    {"kernels/testing", 9},
    {"kernels/", 5},  // one operation each
    {"core/base", 0},
    {"core/tensor", 1},
    {"core/safetensors", 2},
    {"core/gguf", 2},
    {"core/hf", 3},      // makes GGUF metadata of a tokenizer
    {"core/packed", 4},  // reads config.json
    {"core/arch", 4},
    {"core/source", 5},
    {"core/forward", 6},
    {"core/calibrate", 6},
    {"core/rebuild", 7},  // its tests compare forward passes' configurations
    {"core/quantize", 7},
    {"core/report", 7},
    {"core/pipeline", 8},
    {"daemon/answer", 0},
    {"daemon/worker", 1},
    {"daemon/hub", 2},  // its program works for the daemon as a worker does
    {"daemon/executors", 3},
    {"daemon/queue", 4},
    {"daemon/service", 5},
    {"daemon/main", 6},  // the program: files, not folders
    {"daemon/options", 6},
    {"client/rpc", 0},
    {"client/render", 1},
    {"client/commands", 2},
    {"tests/", 0},
};

// From one top folder to another. Tests that cross folders include anything.
struct Edge {
  std::string_view from, to;
};
constexpr Edge kTopEdges[] = {
    {"core/", "kernels/"},
    {"daemon/worker/", "core/"},
    {"daemon/worker/main", "kernels/blas/"},  // which has to come before anything computes
    {"daemon/", "core/base/"},
    {"client/", "core/base/"},
    {"tests/", ""},
};

// What is not ours, and the folders that may include it. Headers without a folder are the C and C++
// libraries' unless they stand here.
struct External {
  std::string_view header;  // a prefix
  std::array<std::string_view, 3> folders;
};
constexpr External kExternals[] = {
    {"absl/", {"kernels/", "core/", "daemon/"}},
    {"absl/", {"client/"}},
    {"sys/", {"core/", "daemon/", "client/"}},
    {"hwy/", {"kernels/"}},
    {"openssl/", {"core/base/"}},
    {"nlohmann/", {"core/", "daemon/", "client/"}},
    {"simdjson.h", {"core/"}},
    {"pcre2.h", {"core/hf/", "core/quantize/"}},
    {"utf8proc.h", {"core/hf/"}},
    {"xxhash.h", {"core/pipeline/"}},
    {"cblas.h", {"kernels/blas/"}},
    {"lapacke.h", {"kernels/blas/"}},
    {"cuda", {"kernels/"}},
    {"cublas", {"kernels/forward_cuda/"}},
    {"quantized/v1/service.grpc", {"daemon/service/", "client/rpc/"}},
    {"quantized/v1/", {"daemon/", "client/"}},
    {"google/protobuf/", {"daemon/", "client/"}},
    {"grpc", {"daemon/service/", "client/rpc/"}},
    {"sqlite3.h", {"daemon/queue/", "daemon/main"}},  // the program tells its version
    {"curl/", {"daemon/hub/"}},
    {"spdlog/", {"daemon/worker/", "daemon/service/"}},
    {"fmt/", {"daemon/", "client/"}},
    {"CLI/", {"client/commands/", "daemon/options"}},
};
// Headers that only tests may include, beside tests/.
constexpr std::string_view kForTests[] = {"gtest/", "gmock/", "benchmark/", "tests/support/",
                                          "kernels/testing/"};

constexpr std::string_view kTopFolders[] = {"kernels", "core",   "proto",
                                            "daemon",  "client", "tests"};

const Row* RowOfFolder(std::string_view path) {
  for (const Row& row : kRows) {
    if (path.starts_with(row.folder)) return &row;
  }
  return nullptr;
}

std::string_view TopOf(std::string_view path) { return path.substr(0, path.find('/') + 1); }

bool IsOurs(std::string_view header) {
  return std::ranges::any_of(kTopFolders, [&](std::string_view top) {
    return header.starts_with(absl::StrCat(std::string(top), "/"));
  });
}

// x_test.cc, x_test.h and test_x.h, and the suites that implementations of one interface share.
bool IsTest(std::string_view file) {
  const std::string stem = std::filesystem::path(file).stem();
  return file.starts_with("tests/") || file.starts_with("kernels/testing/") ||
         stem.starts_with("test_") || stem.ends_with("_test") || stem.ends_with("_suite");
}

bool HoldsPrefix(std::span<const std::string_view> prefixes, std::string_view text) {
  return std::ranges::any_of(prefixes, [&](std::string_view prefix) {
    return !prefix.empty() && text.starts_with(prefix);
  });
}

std::optional<std::string> WhyNotOurs(std::string_view file, std::string_view header) {
  const std::string_view from = TopOf(file);
  const std::string_view to = TopOf(header);
  if (from != to) {
    const bool granted = std::ranges::any_of(kTopEdges, [&](const Edge& edge) {
      return file.starts_with(edge.from) && header.starts_with(edge.to);
    });
    if (granted) return std::nullopt;
    return absl::StrCat("no edge from ", std::string(from), " to it");
  }
  const Row* from_row = RowOfFolder(file);
  const Row* to_row = RowOfFolder(header);
  if (from_row == nullptr || to_row == nullptr) return "a folder of no row in the layout";
  // Operations of kernels share a row, and so do not include each other: compare folders as well.
  const std::string from_folder = std::filesystem::path(file).parent_path();
  const std::string to_folder = std::filesystem::path(header).parent_path();
  if (from_folder == to_folder || to_row->rank < from_row->rank) return std::nullopt;
  if (from_row == to_row && from_row->folder != "kernels/") return std::nullopt;  // subfolders
  return absl::StrCat("its row is not above ", std::string(from_row->folder));
}

std::optional<std::string> WhyNotExternal(std::string_view file, std::string_view header) {
  bool listed = false;
  std::string_view most_specific;
  for (const External& external : kExternals) {
    if (!header.starts_with(external.header)) continue;
    if (listed && external.header.size() < most_specific.size()) continue;
    listed = true;
    most_specific = external.header;
    if (HoldsPrefix(external.folders, file)) return std::nullopt;
  }
  if (listed) return "not for this folder";
  if (header.find('/') != std::string_view::npos) return "a package of no row in the table";
  return std::nullopt;
}

std::optional<std::string> WhyForbidden(std::string_view file, std::string_view header) {
  if (file.starts_with("tests/")) return std::nullopt;
  if (HoldsPrefix(kForTests, header)) {
    if (IsTest(file)) return std::nullopt;
    return "for tests only";
  }
  return IsOurs(header) ? WhyNotOurs(file, header) : WhyNotExternal(file, header);
}

}  // namespace

std::vector<std::filesystem::path> SourceFiles(const std::filesystem::path& root) {
  std::vector<std::filesystem::path> files;
  for (const std::string_view top : kTopFolders) {
    if (!std::filesystem::exists(root / top)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension();
      if (entry.is_regular_file() &&
          (extension == ".h" || extension == ".cc" || extension == ".cu" || extension == ".inc")) {
        files.push_back(entry.path());
      }
    }
  }
  std::ranges::sort(files);
  return files;
}

std::vector<std::string> ForbiddenIncludes(const std::filesystem::path& root) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::vector<std::string> forbidden;
  for (const std::filesystem::path& path : SourceFiles(root)) {
    const std::string file = path.lexically_relative(root);
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
      std::smatch match;
      if (!std::regex_search(line, match, kInclude)) continue;
      const std::string header = match[2];
      std::optional<std::string> why = WhyForbidden(file, header);
      if (match[1] == "\"" && std::filesystem::exists(path.parent_path() / header)) {
        why = "headers of ours are named from the top of the tree";
      }
      if (why.has_value())
        forbidden.push_back(absl::StrCat(file, " includes ", header, ": ", *why));
    }
  }
  return forbidden;
}

}  // namespace quantized::testing

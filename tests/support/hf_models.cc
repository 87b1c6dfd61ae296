#include "tests/support/hf_models.h"

#include <cstring>
#include <fstream>
#include <iterator>

#include "core/base/check.h"
#include "tests/support/paths.h"

namespace quantized::testing {
namespace {

// The header's text and the bytes after it.
std::pair<std::string, std::string> SplitSafetensors(const std::string& contents) {
  CHECK(contents.size() >= 8);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, contents.data(), 8);
  CHECK(header_bytes <= contents.size() - 8);
  return {contents.substr(8, header_bytes), contents.substr(8 + header_bytes)};
}

}  // namespace

std::filesystem::path TinyModel() { return GoldenDir() / "hf2gguf/models/llama2-spm-sharded"; }

std::filesystem::path BpeModel() { return GoldenDir() / "hf2gguf/models/Llama-3.9-1B-Instruct"; }

std::filesystem::path CopyModel(const std::filesystem::path& from,
                                const std::filesystem::path& to) {
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
  return to;
}

void ReplaceSafetensorsHeader(const std::filesystem::path& file,
                              const std::function<std::string(const std::string&)>& replace) {
  const auto [header, data] = SplitSafetensors(ReadAll(file));
  const std::string replaced = replace(header);
  const uint64_t size = replaced.size();
  WriteAll(file, std::string(reinterpret_cast<const char*>(&size), 8) + replaced + data);
}

void EditSafetensorsHeader(const std::filesystem::path& file,
                           const std::function<void(nlohmann::json&)>& edit) {
  ReplaceSafetensorsHeader(file, [&](const std::string& header) {
    nlohmann::json object = nlohmann::json::parse(header);
    edit(object);
    return object.dump();
  });
}

void EditJson(const std::filesystem::path& file, const std::function<void(nlohmann::json&)>& edit) {
  nlohmann::json object = nlohmann::json::parse(ReadAll(file));
  edit(object);
  WriteAll(file, object.dump());
}

std::string ReadAll(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  CHECK(in.good());
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void WriteAll(const std::filesystem::path& file, const std::string& contents) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << contents;
  CHECK(out.good());
}

}  // namespace quantized::testing

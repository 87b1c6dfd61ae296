// Models that tests use, all committed or made in the test.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "nlohmann/json.hpp"

namespace quantized::testing {

// A Hugging Face directory: Llama architecture, 2 layers, hidden size 256, three shards, a
// SentencePiece tokenizer. Every level of GGUF can be made of it.
std::filesystem::path TinyModel();

// The same architecture with a byte-level BPE tokenizer in tokenizer.json.
std::filesystem::path BpeModel();

// Copies a model directory and returns the copy's path.
std::filesystem::path CopyModel(const std::filesystem::path& from, const std::filesystem::path& to);

// Rewrites the JSON header of a .safetensors file; the data stays as it is.
void EditSafetensorsHeader(const std::filesystem::path& file,
                           const std::function<void(nlohmann::json&)>& edit);
// As above, with the header as text: for headers that no JSON object can express.
void ReplaceSafetensorsHeader(const std::filesystem::path& file,
                              const std::function<std::string(const std::string&)>& replace);
void EditJson(const std::filesystem::path& file, const std::function<void(nlohmann::json&)>& edit);

std::string ReadAll(const std::filesystem::path& file);
void WriteAll(const std::filesystem::path& file, const std::string& contents);

}  // namespace quantized::testing

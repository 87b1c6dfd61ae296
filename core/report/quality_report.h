// What is known of the quality of a quantized model, and its forms for programs and terminals. What
// is measured and how: docs/design/quality-report.md. A page for people: core/report/html_report.h.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/forward/model_comparison.h"
#include "core/report/module_errors.h"

namespace quantized {

struct QualityReport {
  std::string model;         // "Llama-3.2-1B-Instruct"
  std::string architecture;  // "LlamaForCausalLM"
  std::string format;        // "gguf", "awq", "gptq"
  std::string level;         // "Q4_K_M", "4bit"
  std::string tool_version;
  double bits_per_weight = 0;
  uint64_t size_bytes = 0;  // of the quantized model
  std::string calibration;  // the data, in words; empty: none was used
  struct Setting {
    std::string name, value;
  };
  std::vector<Setting> settings;  // what else decided the result: "Group size", "128"

  std::string text;            // what was predicted, in words
  uint64_t window_length = 0;  // tokens
  ModelComparison comparison;
  std::vector<ModuleError> modules;  // may be empty
};

// docs/formats/report.md. Numbers that are not finite are null, and bytes that are no UTF-8 are
// replaced: the result can be dumped as it is.
nlohmann::ordered_json ToJson(const QualityReport& report);

// About a dozen lines for a terminal, each with its line break: perplexities, divergence, the three
// worst modules. Names are made printable.
std::string ToTable(const QualityReport& report);

// The error by which modules are compared: of weights, else of outputs. Nothing where neither is
// known or finite.
std::optional<double> ComparedError(const ModuleError& module);

// Indices of the modules that have a ComparedError, the worst first, of equal ones in their order.
std::vector<size_t> WorstModules(const QualityReport& report);

}  // namespace quantized

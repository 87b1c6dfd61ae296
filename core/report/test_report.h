// For tests: a report of made-up figures, and what a page must be.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "core/base/str_cat.h"
#include "core/report/quality_report.h"

namespace quantized::testing {

inline QualityReport SampleReport(uint32_t layers) {
  QualityReport report;
  report.model = "Tiny-1B";
  report.architecture = "LlamaForCausalLM";
  report.format = "gguf";
  report.level = "Q4_K_M";
  report.tool_version = "0.1.0";
  report.bits_per_weight = 4.875;
  report.size_bytes = 1'250'000'000;
  report.calibration = "built-in text";
  report.settings = {{"Group size", "128"}};
  report.text = "held-out text";
  report.window_length = 512;
  ModelComparison& comparison = report.comparison;
  comparison.tokens = 1022;
  comparison.source_perplexity = 8;
  comparison.perplexity = 8.5;
  comparison.ratio_standard_error = 0.0078125;
  comparison.kl_divergence = 0.03125;
  comparison.kl_standard_error = 0.00048828125;
  comparison.top1_agreement = 0.9375;
  comparison.kl_percentiles = {
      .median = 0.015625, .p90 = 0.0625, .p99 = 0.25, .p99_9 = 0.5, .maximum = 1.5};
  for (int i = 0; i < 1022; ++i) {
    // Normal logarithms, near enough.
    double sum = 0;
    for (const int prime : {389, 541, 709, 883}) sum += i * prime % 1022 / 1022.0;
    comparison.kl_histogram.Add(0.015625 * std::exp(2.2 * (sum - 2)));
  }
  comparison.windows = {{.perplexity_ratio = 1.0625, .kl_divergence = 0.03125},
                        {.perplexity_ratio = 1.03125, .kl_divergence = 0.0625}};
  report.modules.push_back(
      {"model.embed_tokens", {}, "token_embd", "Q6_K", 32000, 2048, 0.0004, {}});
  struct Kind {
    std::string_view module, kind, type;
    double error;
  };
  constexpr Kind kKinds[] = {{"self_attn.q_proj", "attn_q", "Q4_K", 0.004},
                             {"self_attn.k_proj", "attn_k", "Q4_K", 0.005},
                             {"self_attn.v_proj", "attn_v", "Q6_K", 0.0003},
                             {"self_attn.o_proj", "attn_output", "Q4_K", 0.0045},
                             {"mlp.gate_proj", "ffn_gate", "Q4_K", 0.0042},
                             {"mlp.up_proj", "ffn_up", "Q4_K", 0.0041},
                             {"mlp.down_proj", "ffn_down", "Q6_K", 0.00035}};
  for (uint32_t layer = 0; layer < layers; ++layer) {
    for (const Kind& kind : kKinds) {
      report.modules.push_back({StrCat("model.layers.", layer, ".", kind.module),
                                layer,
                                std::string(kind.kind),
                                std::string(kind.type),
                                2048,
                                2048,
                                kind.error * (1 + 0.25 * std::sin(layer * 1.7)),
                                {}});
    }
  }
  return report;
}

// What keeps `page` from being well-formed XML that names nothing elsewhere; empty where nothing
// does.
inline std::string FaultOf(const std::string& page) {
  static const std::regex kTag(
      R"rx(<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s+[a-zA-Z][-a-zA-Z0-9:]*="[^"<]*")*)\s*(/?)>)rx");
  static const std::regex kAttribute(R"rx(([-a-zA-Z0-9:]+)="([^"]*)")rx");
  static const std::regex kElsewhere(
      R"rx(\bsrc=|\bhref=|url\(|@import|https?://(?!www\.w3\.org/))rx");
  constexpr std::string_view kDocType = "<!DOCTYPE html>\n";
  std::smatch match;
  if (std::regex_search(page, match, kElsewhere)) return "names " + match.str();
  std::vector<std::string> open;
  std::set<std::string> ids;
  size_t at = page.starts_with(kDocType) ? kDocType.size() : 0;
  while (at < page.size()) {
    const size_t tag = std::min(page.find('<', at), page.size());
    // Bytes below the space are no part of XML, but for line breaks and tabs.
    for (size_t i = at; i < tag; ++i) {
      if (static_cast<unsigned char>(page[i]) < ' ' && page[i] != '\n') {
        return StrCat("control character at ", i);
      }
      if (page[i] != '&') continue;
      const std::string reference = page.substr(i, 8);
      if (!std::regex_search(reference, std::regex("^&(amp|lt|gt|#[0-9]+);"))) {
        return "no reference: " + reference;
      }
    }
    if (tag == page.size()) break;
    if (!std::regex_search(page.begin() + static_cast<std::ptrdiff_t>(tag), page.end(), match, kTag,
                           std::regex_constants::match_continuous)) {
      return "no tag: " + page.substr(tag, 60);
    }
    const std::string name = match[2], attributes = match[3];
    at = tag + static_cast<size_t>(match.length());
    std::set<std::string> names;
    for (std::sregex_iterator it(attributes.begin(), attributes.end(), kAttribute), end; it != end;
         ++it) {
      if (!names.insert((*it)[1]).second) return "an attribute twice: " + it->str();
      if ((*it)[1] == "id" && !ids.insert((*it)[2]).second) return "an id twice: " + it->str();
    }
    if (match[1].length() > 0) {
      if (open.empty() || open.back() != name) return "not open: " + name;
      open.pop_back();
    } else if (match[4].length() == 0) {
      open.push_back(name);
    }
  }
  return open.empty() ? "" : "not closed: " + open.back();
}

}  // namespace quantized::testing

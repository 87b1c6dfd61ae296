#include "core/packed/model_card.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "core/base/str_cat.h"
#include "core/base/version.h"
#include "core/hf/front_matter.h"
#include "core/tensor/text.h"
#include "nlohmann/json.hpp"

namespace quantized {
namespace {

using nlohmann::json;

// Entries of the source's card that hold for the quantized model, too.
constexpr std::string_view kKept[] = {"license",  "license_name", "license_link",
                                      "language", "pipeline_tag", "library_name"};

// YAML takes JSON's strings, which need no rules for what is to be quoted.
std::string Quoted(const std::string& text) {
  return json(text).dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
}

// A text, or a list of them, as an entry; other values are left out.
void AppendEntry(std::string_view name, const json& value, std::string& card) {
  if (value.is_string()) {
    StrAppend(&card, name, ": ", Quoted(value.get_ref<const std::string&>()), "\n");
  } else if (value.is_array()) {
    std::string items;
    for (const json& item : value) {
      if (item.is_string()) {
        StrAppend(&items, "- ", Quoted(item.get_ref<const std::string&>()), "\n");
      }
    }
    if (!items.empty()) StrAppend(&card, name, ":\n", items);
  }
}

// Whether a tag is a format or a number of bits ("4-bit"), of which the output has its own.
bool TellsQuantization(const std::string& tag) {
  constexpr std::string_view kFormats[] = {"awq", "gguf", "gptq"};
  const std::string lower = absl::AsciiStrToLower(tag);
  if (std::ranges::find(kFormats, lower) != std::end(kFormats)) return true;
  const size_t digits = std::min(lower.find_first_not_of("0123456789"), lower.size());
  return digits > 0 && lower.substr(digits) == "-bit";
}

// The source's tags, then ours.
json Tags(const json& source, const PackedOptions& options) {
  json tags = json::array();
  const auto add = [&](const std::string& tag) {
    if (std::ranges::find(tags, json(tag)) == tags.end()) tags.push_back(tag);
  };
  const auto found = source.find("tags");
  if (found != source.end() && found->is_array()) {
    for (const json& tag : *found) {
      if (!tag.is_string()) continue;
      const auto& text = tag.get_ref<const std::string&>();
      if (!TellsQuantization(text)) add(text);
    }
  }
  add(std::string(NameOf(options.method)));
  add(StrCat(options.bits, "-bit"));
  add("llm-quantize");
  return tags;
}

std::string FrontMatter(const json& source, const CardFacts& facts) {
  std::string card = "---\n";
  if (!facts.base_model.empty()) {
    AppendEntry("base_model", facts.base_model, card);
    card += "base_model_relation: quantized\n";
  } else if (source.contains("base_model")) {
    AppendEntry("base_model", source["base_model"], card);
  }
  for (const std::string_view name : kKept) {
    const auto found = source.find(name);
    if (found != source.end()) AppendEntry(name, *found, card);
  }
  card += "quantized_by: llm-quantize\n";
  AppendEntry("tags", Tags(source, facts.options), card);
  return card + "---\n";
}

// A line's text in a table or paragraph: no line break, no end of a cell.
std::string Inline(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (c == '|') line += '\\';
    line += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return line;
}

void AppendRow(std::string_view name, std::string_view value, std::string& card) {
  StrAppend(&card, "| ", Inline(name), " | ", Inline(value), " |\n");
}

std::string YesNo(bool value) { return value ? "yes" : "no"; }

std::string Recipe(const PackedOptions& options) {
  const bool is_gptq = options.method == PackedMethod::kGptq;
  std::string table = "| | |\n|---|---|\n";
  AppendRow("Method", is_gptq ? "GPTQ" : "AWQ (GEMM)", table);
  AppendRow("Bits", StrCat(options.bits), table);
  AppendRow("Group size",
            options.group_size == -1 ? std::string("whole rows") : StrCat(options.group_size),
            table);
  if (is_gptq) {
    AppendRow("Symmetric", YesNo(options.sym), table);
    AppendRow("Activation order", YesNo(options.desc_act), table);
    if (!options.is_converted) AppendRow("Damping", StrCat(options.damp_percent), table);
    AppendRow("Format", options.version == GptqVersion::kV1 ? "gptq" : "gptq_v2", table);
  } else {
    AppendRow("Zero points", "yes", table);
    if (!options.is_converted) {
      AppendRow("Codes", options.awq_clip ? "nearest, in clipped ranges" : "GPTQ", table);
    }
  }
  if (!options.modules_not_converted.empty()) {
    std::string names;
    for (const std::string& name : options.modules_not_converted) {
      StrAppend(&names, names.empty() ? "" : ", ", name);
    }
    AppendRow("Left in 16 bits", StrCat("lm_head, ", names), table);
  }
  return table;
}

}  // namespace

std::string ModelCard(std::string_view source_card, const CardFacts& facts) {
  const json source = ParseFrontMatter(source_card);
  std::string card = FrontMatter(source, facts);
  StrAppend(&card, "\n# ", Inline(facts.title), ", quantized\n\n");
  StrAppend(&card, "Made by llm-quantize ", kVersion);
  if (!facts.base_model.empty()) StrAppend(&card, " from `", Inline(facts.base_model), "`");
  card += ". What the original model's card says about use and limits holds here, too.\n";
  StrAppend(&card, "\n## Recipe\n\n", Recipe(facts.options));
  StrAppend(&card, "\n## Calibration\n\n",
            facts.calibration.empty() ? "None: weights were rounded without data."
                                      : Inline(facts.calibration),
            "\n");
  if (!facts.quality.empty()) {
    card += "\n## Quality\n\n| Measure | Value |\n|---|---|\n";
    for (const CardFacts::Measure& measure : facts.quality) {
      AppendRow(measure.name, measure.value, card);
    }
  }
  if (!facts.loaders.empty()) {
    card += "\n## Loaders\n\n| Loader | | Why |\n|---|---|---|\n";
    for (const LoaderNote& note : facts.loaders) {
      StrAppend(&card, "| ", note.loader, " | ", NameOf(note.verdict), " | ", Inline(note.why),
                " |\n");
    }
  }
  return card;
}

}  // namespace quantized

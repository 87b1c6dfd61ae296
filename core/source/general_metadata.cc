#include "core/source/general_metadata.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "core/base/str_cat.h"
#include "core/hf/generation_config.h"
#include "core/hf/model_name.h"

namespace quantized {
namespace {

using nlohmann::json;
using Text = std::optional<std::string>;

constexpr std::string_view kHubAddress = "https://huggingface.co/";

// A model or data set that the card refers to.
struct Reference {
  Text name, author, version, organization, description, url, doi, uuid, repo_url;
};

struct General {
  Text name, author, version, organization, finetune, basename, description, size_label;
  Text license, license_name, license_link;
  Text source_url, source_doi, source_uuid, source_repo_url;
  std::optional<std::vector<Reference>> base_models, datasets;
  std::vector<std::string> tags, languages;
};

// The text of `object`'s member; of a list of texts too, joined by commas.
Text TextOf(const json& object, std::string_view name) {
  const auto found = object.find(name);
  if (found == object.end()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return std::nullopt;
  std::vector<std::string> texts;
  for (const json& item : *found) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
  return absl::StrJoin(texts, ",");
}

struct CardField {
  std::string_view name;  // in the card
  Text General::*field;
};

// A field keeps the first value that it gets.
constexpr CardField kCardFields[] = {
    {"name", &General::name},
    {"author", &General::author},
    {"version", &General::version},
    {"organization", &General::organization},
    {"description", &General::description},
    {"finetune", &General::finetune},
    {"basename", &General::basename},
    {"size_label", &General::size_label},
    {"url", &General::source_url},
    {"doi", &General::source_doi},
    {"uuid", &General::source_uuid},
    {"repo_url", &General::source_repo_url},
    {"model_name", &General::name},
    {"model_author", &General::author},
    {"model_version", &General::version},
    {"model_organization", &General::organization},
    {"model_description", &General::description},
    {"model_finetune", &General::finetune},
    {"model_basename", &General::basename},
    {"model_size_label", &General::size_label},
    {"model_url", &General::source_url},
    {"model_doi", &General::source_doi},
    {"model_uuid", &General::source_uuid},
    {"model_repo_url", &General::source_repo_url},
    {"model_creator", &General::author},
    {"model_type", &General::basename},
    {"license", &General::license},
    {"license_name", &General::license_name},
    {"license_link", &General::license_link},
};

void AppendTexts(const json& card, std::string_view name, std::vector<std::string>& texts) {
  const auto found = card.find(name);
  if (found == card.end()) return;
  if (found->is_string()) texts.push_back(found->get<std::string>());
  if (!found->is_array()) return;
  for (const json& item : *found) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
}

// "org/name" out of an address on the hub that has just these two parts.
std::optional<std::string_view> HubId(std::string_view address) {
  bool on_hub = false;
  for (const std::string_view hub : {kHubAddress, std::string_view("http://huggingface.co/")}) {
    if (on_hub || !address.starts_with(hub)) continue;
    address.remove_prefix(hub.size());
    on_hub = true;
  }
  if (!on_hub) return std::nullopt;
  const size_t slash = address.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == address.size() ||
      address.find('/', slash + 1) != std::string_view::npos) {
    return std::nullopt;
  }
  return address;
}

Reference ReferenceTo(std::string_view id, uint64_t parameters) {
  Reference reference;
  bool is_address = false;
  for (const std::string_view scheme : {"http://", "https://", "ssh://"}) {
    is_address |= id.starts_with(scheme);
  }
  if (is_address) reference.repo_url = std::string(id);
  const std::optional<std::string_view> name = is_address ? HubId(id) : id;
  if (!name) return reference;

  const ModelNameParts parts = ParseModelName(*name, parameters);
  reference.name = TitleOfName(parts.full_name);
  reference.version = parts.version;
  if (parts.organization) {
    reference.organization = TitleOfName(*parts.organization);
    if (!is_address) {
      reference.repo_url = StrCat(kHubAddress, *parts.organization, "/", parts.full_name);
    }
  }
  return reference;
}

Reference ReferenceFrom(const json& entry) {
  return {.name = TextOf(entry, "name"),
          .author = TextOf(entry, "author"),
          .version = TextOf(entry, "version"),
          .organization = TextOf(entry, "organization"),
          .description = TextOf(entry, "description"),
          .url = TextOf(entry, "url"),
          .doi = TextOf(entry, "doi"),
          .uuid = TextOf(entry, "uuid"),
          .repo_url = TextOf(entry, "repo_url")};
}

// What the first of `names` that the card has refers to; nullopt when it has none of them.
std::optional<std::vector<Reference>> ReferencesOf(const json& card,
                                                   std::span<const std::string_view> names,
                                                   uint64_t parameters) {
  const auto name = std::find_if(names.begin(), names.end(),
                                 [&](std::string_view n) { return card.contains(n); });
  if (name == names.end()) return std::nullopt;
  const json& value = *card.find(*name);
  std::vector<Reference> references;
  const auto add = [&](const json& entry) {
    if (entry.is_string()) {
      references.push_back(ReferenceTo(entry.get_ref<const std::string&>(), parameters));
    } else {
      references.push_back(entry.is_object() ? ReferenceFrom(entry) : Reference());
    }
  };
  if (value.is_string()) add(value);
  if (value.is_array()) std::for_each(value.begin(), value.end(), add);
  return references;
}

void ReadCard(const json& card, uint64_t parameters, General& general) {
  for (const CardField& row : kCardFields) {
    Text& field = general.*row.field;
    if (!field) field = TextOf(card, row.name);
  }
  constexpr std::string_view kBaseModels[] = {"base_model", "base_models", "base_model_sources"};
  constexpr std::string_view kDatasets[] = {"datasets", "dataset", "dataset_sources"};
  general.base_models = ReferencesOf(card, kBaseModels, parameters);
  general.datasets = ReferencesOf(card, kDatasets, parameters);
  AppendTexts(card, "tags", general.tags);
  AppendTexts(card, "pipeline_tag", general.tags);
  AppendTexts(card, "languages", general.languages);
  AppendTexts(card, "language", general.languages);
}

void ReadName(std::string_view id, uint64_t parameters, General& general) {
  const ModelNameParts parts = ParseModelName(id, parameters);
  if (!general.name) general.name = TitleOfName(parts.full_name);
  if (!general.organization && parts.organization) {
    general.organization = TitleOfName(*parts.organization);
  }
  if (!general.basename) general.basename = parts.basename;
  if (!general.finetune) general.finetune = parts.finetune;
  if (!general.version) general.version = parts.version;
  if (!general.size_label) general.size_label = parts.size_label;
}

// The format has no empty texts and lists.
void Put(std::string_view key, const Text& text, gguf::Metadata& metadata) {
  if (text && !text->empty()) metadata.Set(key, *text);
}
void Put(std::string_view key, const std::vector<std::string>& texts, gguf::Metadata& metadata) {
  if (!texts.empty()) metadata.Set(key, gguf::Array(texts));
}

void PutReferences(std::string_view prefix, std::span<const Reference> references,
                   gguf::Metadata& metadata) {
  metadata.Set(StrCat(prefix, ".count"), static_cast<uint32_t>(references.size()));
  for (size_t i = 0; i < references.size(); ++i) {
    const Reference& entry = references[i];
    const auto put = [&](std::string_view name, const Text& text) {
      Put(StrCat(prefix, ".", i, ".", name), text, metadata);
    };
    put("name", entry.name);
    put("author", entry.author);
    put("version", entry.version);
    put("organization", entry.organization);
    put("description", entry.description);
    put("url", entry.url);
    put("doi", entry.doi);
    put("uuid", entry.uuid);
    put("repo_url", entry.repo_url);
  }
}

}  // namespace

void AppendGeneralMetadata(const GeneralFacts& facts, gguf::Metadata& metadata) {
  General general;
  ReadCard(facts.card, facts.parameters, general);
  // A path of the machine on which the model was made tells nothing; "name" and "org/name" do.
  if (const auto path = TextOf(facts.config, "_name_or_path");
      path && std::count(path->begin(), path->end(), '/') <= 1) {
    ReadName(*path, facts.parameters, general);
  }
  ReadName(facts.directory_name, facts.parameters, general);
  if (!general.size_label && facts.parameters > 0) {
    general.size_label =
        facts.experts > 0 ? StrCat(facts.experts, "x", SizeLabel(facts.parameters_with_one_expert))
                          : SizeLabel(facts.parameters);
  }

  AppendSamplingMetadata(facts.generation_config, metadata);
  Put("general.name", general.name, metadata);
  Put("general.author", general.author, metadata);
  Put("general.version", general.version, metadata);
  Put("general.organization", general.organization, metadata);
  Put("general.finetune", general.finetune, metadata);
  Put("general.basename", general.basename, metadata);
  Put("general.description", general.description, metadata);
  Put("general.size_label", general.size_label, metadata);
  Put("general.license", general.license, metadata);
  Put("general.license.name", general.license_name, metadata);
  Put("general.license.link", general.license_link, metadata);
  Put("general.source.url", general.source_url, metadata);
  Put("general.source.doi", general.source_doi, metadata);
  Put("general.source.uuid", general.source_uuid, metadata);
  Put("general.source.repo_url", general.source_repo_url, metadata);
  if (general.base_models) {
    PutReferences("general.base_model", *general.base_models, metadata);
  }
  if (general.datasets) PutReferences("general.dataset", *general.datasets, metadata);
  Put("general.tags", general.tags, metadata);
  Put("general.languages", general.languages, metadata);
}

}  // namespace quantized

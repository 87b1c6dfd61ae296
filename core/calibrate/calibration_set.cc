#include "core/calibrate/calibration_set.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <span>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/calibrate/default_text.h"
#include "core/hf/config.h"
#include "core/hf/json_number.h"
#include "core/hf/tokenizer/tokenizer_config.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

constexpr uint32_t kMaxOption = uint32_t{1} << 20;
// Of the windows' first ids so many are looked at. Fewer distinct ones than the root of their
// number say little about the model: new words come about as the root of a text's length does
// (Heaps, Information Retrieval, 1978), and real text has 15 times as many.
constexpr size_t kIdsLookedAt = 10'000;

// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): fixed for
// ever, unlike the standard library's shuffle.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // From 0 to `bound` - 1. The bias of the remainder is below 2^-32 here.
  uint64_t Below(uint64_t bound) { return Next() % bound; }

 private:
  uint64_t state_;
};

// Fisher-Yates from the end.
std::vector<size_t> ShuffledOrder(size_t count, uint64_t seed) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  Random random(seed);
  for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  return order;
}

// The documents in their order with EOS between, cut into windows.
class Cutter {
 public:
  Cutter(const TokenizedDocuments& data, const CalibrationOptions& options)
      : data_(data),
        options_(options),
        order_(ShuffledOrder(data.documents.size(), options.seed)) {}

  // Up to `count` windows from where the last ended.
  std::vector<std::vector<uint32_t>> Cut(uint32_t count) {
    std::vector<std::vector<uint32_t>> windows;
    while (windows.size() < count) {
      std::vector<uint32_t> window;
      if (!BringsPrefix()) window = data_.marks.prefix;
      Fill(window);
      if (window.size() < options_.sequence_length) break;
      windows.push_back(std::move(window));
    }
    return windows;
  }

  // Goes on with the first document that no window has a part of; a single one stays where it is.
  void SkipStarted() {
    if (order_.size() > 1 && at_ > 0) {
      ++document_;
      at_ = 0;
    }
  }

 private:
  // A conversation's template may begin with BOS itself.
  bool BringsPrefix() const {
    if (document_ == order_.size() || at_ > 0) return false;
    const TokenIds& ids = data_.documents[order_[document_]];
    const TokenIds& prefix = data_.marks.prefix;
    return ids.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), ids.begin());
  }

  // Position at_ of a document that is not the last in order is behind its ids: its EOS.
  void Fill(std::vector<uint32_t>& window) {
    while (window.size() < options_.sequence_length && document_ < order_.size()) {
      const TokenIds& ids = data_.documents[order_[document_]];
      const size_t n = std::min<size_t>(options_.sequence_length - window.size(), ids.size() - at_);
      const auto from = ids.begin() + static_cast<std::ptrdiff_t>(at_);
      window.insert(window.end(), from, from + static_cast<std::ptrdiff_t>(n));
      at_ += n;
      if (at_ < ids.size()) return;
      const bool last = document_ + 1 == order_.size();
      if (data_.marks.eos.has_value() && !last) {
        if (window.size() == options_.sequence_length) return;
        window.push_back(*data_.marks.eos);
      }
      if (last && order_.size() == 1) return;  // at_ stays at the end
      ++document_;
      at_ = 0;
    }
  }

  const TokenizedDocuments& data_;
  const CalibrationOptions& options_;
  std::vector<size_t> order_;
  size_t document_ = 0;  // in order_
  size_t at_ = 0;        // of its ids
};

absl::Status CheckOption(std::string_view name, uint32_t value) {
  if (value >= 1 && value <= kMaxOption) return absl::OkStatus();
  return MakeError(Error::kInvalidArgument,
                   StrCat(name, ": found ", value, ", expected 1 to ", kMaxOption));
}

absl::Status CheckLength(const TokenizedDocuments& data, const CalibrationOptions& options) {
  RETURN_IF_ERROR(CheckOption("calibration sequence length", options.sequence_length));
  if (data.marks.prefix.size() < options.sequence_length) return absl::OkStatus();
  return MakeError(Error::kInvalidArgument,
                   StrCat("calibration sequence length: found ", options.sequence_length,
                          ", expected more than the ", data.marks.prefix.size(),
                          " tokens that the tokenizer puts before each text"));
}

uint64_t TokensOf(const TokenizedDocuments& data) {
  uint64_t tokens =
      data.marks.eos.has_value() && !data.documents.empty() ? data.documents.size() - 1 : 0;
  for (const TokenIds& ids : data.documents) tokens += ids.size();
  return tokens;
}

std::string HashOf(const std::vector<std::vector<uint32_t>>& windows) {
  static_assert(std::endian::native == std::endian::little);
  Sha256 hash;
  for (const auto& window : windows) hash.Update(std::as_bytes(std::span(window)));
  return hash.HexDigest();
}

absl::Status CheckVariety(CalibrationSet& set) {
  absl::flat_hash_map<uint32_t, size_t> counts;
  size_t looked = 0, distinct_at_first = 0, most = 0;
  uint32_t most_id = 0;
  for (const auto& window : set.windows) {
    for (const uint32_t id : window) {
      const size_t count = ++counts[id];
      if (count > most) {
        most = count;
        most_id = id;
      }
      if (++looked <= kIdsLookedAt) distinct_at_first = counts.size();
    }
  }
  if (looked > 0 && most * 10 >= looked * 9) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("calibration data ", set.description, ": found token ", most_id, " ",
                            most, " times among ", looked, " tokens, expected text"),
                     "give other calibration data");
  }
  const size_t first = std::min(looked, kIdsLookedAt);
  if (distinct_at_first * distinct_at_first < first) {
    set.warnings.push_back(StrCat("calibration data ", set.description, ": the first ", first,
                                  " tokens have only ", distinct_at_first,
                                  " different ones; such data measure a model badly"));
  }
  return absl::OkStatus();
}

CalibrationSet SetOf(const TokenizedDocuments& data) {
  CalibrationSet set;
  set.description = data.description;
  set.documents = data.documents.size();
  set.tokens_available = TokensOf(data);
  set.warnings = data.warnings;
  return set;
}

// --- tokenizing ---

absl::StatusOr<TokenIds> IdsOf(const CalibrationDocument& document,
                               const tokenizer::Tokenizer& tokenizer, const ChatRenderer* chat) {
  if (const auto* ids = std::get_if<TokenIds>(&document.content)) {
    const auto bad = std::find_if(ids->begin(), ids->end(),
                                  [&](uint32_t id) { return !tokenizer.TextOf(id).has_value(); });
    if (bad == ids->end()) return *ids;
    return MakeError(
        Error::kInvalidArgument,
        StrCat("input_ids[", bad - ids->begin(), "]: found ", *bad,
               ", expected an id of the model's tokenizer, below ", tokenizer.end_id()),
        "tokenize the data with this model's tokenizer");
  }
  if (const auto* text = std::get_if<std::string>(&document.content)) {
    return tokenizer.Encode(*text, /*add_special=*/false);
  }
  if (chat == nullptr) {
    return MakeError(Error::kInvalidArgument,
                     "found a conversation, expected text: the model has no chat template",
                     "give texts, or add chat_template.jinja to the model");
  }
  ASSIGN_OR_RETURN(const std::string text,
                   chat->Render(std::get<ChatMessages>(document.content).messages,
                                /*add_generation_prompt=*/false));
  return tokenizer.Encode(text, /*add_special=*/false);
}

// The one token that `text` is.
std::optional<uint32_t> TokenOf(const std::string& text, const tokenizer::Tokenizer& tokenizer) {
  const auto ids = tokenizer.Encode(text, /*add_special=*/false);
  if (!ids.ok() || ids->size() != 1 || tokenizer.TextOf(ids->front()) != text) return std::nullopt;
  return ids->front();
}

absl::StatusOr<std::optional<uint32_t>> EosOf(const std::filesystem::path& directory,
                                              const tokenizer::Tokenizer& tokenizer) {
  ASSIGN_OR_RETURN(const nlohmann::json config, tokenizer::ReadTokenizerConfig(directory));
  if (const auto it = config.find("eos_token"); it != config.end()) {
    const std::optional<std::string> text = tokenizer::TokenContent(*it);
    const std::optional<uint32_t> id = text ? TokenOf(*text, tokenizer) : std::nullopt;
    if (id.has_value()) return id;
  }
  ASSIGN_OR_RETURN(const HfConfig model, HfConfig::Read(directory));
  const auto it = model.fields().find("eos_token_id");
  if (it == model.fields().end() || it->is_null() || (it->is_array() && it->empty())) {
    return std::optional<uint32_t>();
  }
  ASSIGN_OR_RETURN(const uint32_t id,
                   JsonUint32(it->is_array() ? it->front() : *it, "config.json: eos_token_id"));
  if (tokenizer.TextOf(id).has_value()) return std::optional<uint32_t>(id);
  return MakeError(Error::kValidationFailed,
                   StrCat("config.json: eos_token_id: found ", id,
                          ", expected an id of the tokenizer, below ", tokenizer.end_id()));
}

}  // namespace

absl::StatusOr<TextMarks> ReadTextMarks(const std::filesystem::path& directory,
                                        const tokenizer::Tokenizer& tokenizer) {
  TextMarks marks;
  ASSIGN_OR_RETURN(marks.eos, EosOf(directory, tokenizer));
  // What stands before a text is what its encoding has more, up to the first id of the text itself.
  constexpr std::string_view kText = "text";
  ASSIGN_OR_RETURN(const TokenIds plain, tokenizer.Encode(kText, /*add_special=*/false));
  ASSIGN_OR_RETURN(const TokenIds special, tokenizer.Encode(kText, /*add_special=*/true));
  const auto begin = std::search(special.begin(), special.end(), plain.begin(), plain.end());
  if (begin != special.end()) marks.prefix.assign(special.begin(), begin);
  return marks;
}

absl::StatusOr<TokenizedDocuments> TokenizeDocuments(const CalibrationDocuments& documents,
                                                     const tokenizer::Tokenizer& tokenizer,
                                                     const ChatRenderer* chat, TextMarks marks,
                                                     const JobContext& context) {
  const size_t count = documents.documents.size();
  std::vector<absl::StatusOr<TokenIds>> results(count, TokenIds());
  context.threads.ParallelFor(count, [&](size_t i) {
    if (context.stop.stop_requested()) return;
    results[i] = IdsOf(documents.documents[i], tokenizer, chat);
  });
  RETURN_IF_ERROR(context.CheckStopped());
  TokenizedDocuments data;
  data.description = documents.name;
  data.marks = std::move(marks);
  data.warnings = documents.warnings;
  if (!data.marks.eos.has_value() && count > 1) {
    data.warnings.push_back(
        "the model names no end-of-text token: documents are joined without one between");
  }
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(TokenIds ids, std::move(results[i]),
                     << documents.name << ": " << documents.documents[i].place);
    // White space alone can make no token.
    if (!ids.empty()) data.documents.push_back(std::move(ids));
  }
  return data;
}

absl::StatusOr<TokenizedDocuments> LoadCalibrationData(
    const std::optional<std::filesystem::path>& data, const std::filesystem::path& directory,
    std::string_view model_type, const JobContext& context) {
  CalibrationDocuments documents;
  if (data.has_value()) {
    ASSIGN_OR_RETURN(documents, ReadCalibrationFile(*data));
  } else {
    ASSIGN_OR_RETURN(documents, ParseCalibrationDocuments(DefaultCalibrationText(), "built-in text",
                                                          CalibrationFormat::kText));
  }
  ASSIGN_OR_RETURN(const auto tokenizer,
                   tokenizer::Tokenizer::FromDirectory(directory, model_type));
  ASSIGN_OR_RETURN(TextMarks marks, ReadTextMarks(directory, *tokenizer));
  const bool has_chat = std::any_of(
      documents.documents.begin(), documents.documents.end(),
      [](const CalibrationDocument& d) { return std::holds_alternative<ChatMessages>(d.content); });
  std::optional<ChatRenderer> chat;
  if (has_chat) {
    absl::StatusOr<ChatRenderer> renderer = ChatRenderer::FromDirectory(directory);
    if (renderer.ok()) {
      chat = *std::move(renderer);
    } else if (ErrorOf(renderer.status()) != Error::kModelNotFound) {
      return renderer.status();
    }
  }
  return TokenizeDocuments(documents, *tokenizer, chat.has_value() ? &*chat : nullptr,
                           std::move(marks), context);
}

absl::StatusOr<CalibrationSet> MakeCalibrationSet(const TokenizedDocuments& data,
                                                  const CalibrationOptions& options) {
  RETURN_IF_ERROR(CheckOption("calibration samples", options.samples));
  RETURN_IF_ERROR(CheckLength(data, options));
  CalibrationSet set = SetOf(data);
  set.windows = Cutter(data, options).Cut(options.samples);
  if (set.windows.empty()) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("calibration data ", set.description, ": found ", set.tokens_available,
                            " tokens, expected ", options.sequence_length, " at least"),
                     "give more text, or a shorter sequence length");
  }
  if (set.windows.size() < options.samples) {
    set.warnings.push_back(StrCat("calibration data ", set.description, ": ", set.windows.size(),
                                  " windows of ", options.sequence_length, " tokens instead of ",
                                  options.samples, ": the data have only ", set.tokens_available,
                                  " tokens"));
  }
  RETURN_IF_ERROR(CheckVariety(set));
  set.hash = HashOf(set.windows);
  return set;
}

absl::StatusOr<CalibrationSet> MakeHeldOutSet(const TokenizedDocuments& data,
                                              const CalibrationOptions& options,
                                              uint32_t held_out) {
  if (options.samples > 0) {
    RETURN_IF_ERROR(CheckOption("calibration samples", options.samples));
  }
  RETURN_IF_ERROR(CheckLength(data, options));
  RETURN_IF_ERROR(CheckOption("held-out windows", held_out));
  CalibrationSet set = SetOf(data);
  Cutter cutter(data, options);
  cutter.Cut(options.samples);
  cutter.SkipStarted();
  set.windows = cutter.Cut(held_out);
  if (set.windows.size() < held_out) {
    set.warnings.push_back(StrCat(
        "calibration data ", set.description, ": ", set.windows.size(), " held-out windows of ",
        options.sequence_length, " tokens instead of ", held_out, ": ",
        options.samples > 0 ? "the calibration takes the rest" : "the data have no more"));
  }
  set.hash = HashOf(set.windows);
  return set;
}

}  // namespace quantized

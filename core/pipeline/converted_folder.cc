#include "core/pipeline/converted_folder.h"

#include <optional>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/config.h"
#include "core/packed/companion_files.h"
#include "core/packed/recode.h"
#include "core/quantize/round_to_nearest.h"
#include "core/source/hf_summary.h"
#include "core/source/packed_weights.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxCardBytes = 16 << 20;

double RelativeError(const Matrix& weights, const QuantizedLinear& linear) {
  std::vector<float> row(weights.cols);
  double error = 0, norm = 0;
  for (size_t r = 0; r < weights.rows; ++r) {
    linear.Dequantize(r, 1, row.data());
    for (size_t i = 0; i < weights.cols; ++i) {
      const double weight = weights.at(r, i), difference = row[i] - weight;
      error += difference * difference;
      norm += weight * weight;
    }
  }
  return norm > 0 ? error / norm : 0;
}

// A directory that stays open as long as anything reads from it.
struct OpenDirectory {
  std::unique_ptr<HfWeights> weights;
  std::unique_ptr<PackedWeights> packed;
};

// The linear by the codes that `options` have for it, without a change of any weight.
absl::StatusOr<ConvertedLinear> Recoded(const QuantizedLinear& from, const PackedOptions& options) {
  if (options.sym) return ConvertedLinear{Centered(from, options.bits)};
  ConvertedLinear to{from};
  to.linear.bits = options.bits;
  return to;
}

}  // namespace

absl::StatusOr<ConvertedLinear> QuantizedAnew(const Matrix& weights, const PackedOptions& options,
                                              ThreadPool& threads) {
  GridOptions grid;
  grid.bits = options.bits;
  grid.group_size = options.group_size < 0 ? 0 : static_cast<size_t>(options.group_size);
  grid.form = options.sym ? kernels::RangeForm::kSymmetric : kernels::RangeForm::kWithZero;
  grid.search = RangeSearch::kPlain;
  ASSIGN_OR_RETURN(QuantizedLinear linear, RoundToNearest(weights, grid, {}, threads));
  const double error = RelativeError(weights, linear);
  return ConvertedLinear{std::move(linear), error};
}

absl::StatusOr<ConvertedFolder> FolderOfPacked(const fs::path& directory,
                                               const Conversion& conversion) {
  ASSIGN_OR_RETURN(const HfConfig config, HfConfig::Read(directory));
  ASSIGN_OR_RETURN(const std::optional<PackedScheme> scheme, PackedSchemeOf(config));
  if (!scheme) {
    return MakeError(Error::kUnsupportedConversion,
                     StrCat(directory.string(), " is no AWQ or GPTQ directory"));
  }
  const auto open = std::make_shared<OpenDirectory>();
  ASSIGN_OR_RETURN(open->weights, HfWeights::Open(directory));
  ASSIGN_OR_RETURN(open->packed, PackedWeights::Open(*open->weights, *scheme));

  ConvertedFolder folder;
  folder.source = open;
  folder.config = config.file();
  folder.companions_from = directory;
  ASSIGN_OR_RETURN(folder.summary, SummarizeHf(config, *open->weights, HfModelName(directory)));
  const PackedWeights* packed = open->packed.get();
  const PackedOptions options = conversion.packed;
  const bool anew = conversion.fidelity == Fidelity::kRequantized;
  std::unordered_set<std::string> weights;
  for (size_t i = 0; i < packed->modules().size(); ++i) {
    const PackedModule& module = packed->modules()[i];
    weights.insert(StrCat(module.name, ".weight"));
    ConvertedFolder::Linear& linear = folder.linears.emplace_back();
    linear.shape = {.name = module.name, .out = module.out, .in = module.in};
    linear.make = [=](ThreadPool& threads) -> absl::StatusOr<ConvertedLinear> {
      ASSIGN_OR_RETURN(const auto loaded, packed->Load(i));
      if (anew) return QuantizedAnew(Decoded(*loaded), options, threads);
      return Recoded(*loaded, options);
    };
  }
  ASSIGN_OR_RETURN(std::vector<CheckpointTensor> tensors, packed->Tensors(kernels::TypeId::kF32));
  for (CheckpointTensor& tensor : tensors) {
    if (!weights.contains(tensor.name)) folder.others.push_back(std::move(tensor));
  }

  ASSIGN_OR_RETURN(folder.companions, CompanionFiles(directory));
  Sha256 hash;
  RETURN_IF_ERROR(open->weights->Fingerprint(hash));
  hash.Update(folder.config.dump());
  RETURN_IF_ERROR(HashFiles(directory, folder.companions, hash));
  folder.fingerprint = hash.HexDigest();
  if (const auto card = ReadFile(directory / "README.md", kMaxCardBytes); card.ok()) {
    folder.card = *card;
  }
  return folder;
}

}  // namespace quantized

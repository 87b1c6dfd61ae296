// The options of `quantize` that users of llama-quantize know, by its names and in its forms. What
// a value means for a model is core's to say (core/pipeline/quantize.h); here is what can be
// refused without one.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/commands/command.h"
#include "quantized/v1/job.pb.h"

namespace quantized {

// Holds for awq and gptq, too.
inline constexpr std::string_view kSplitMaxSize = "--split-max-size";

inline constexpr std::array kGgufOptions = {
    OptionRow{.name = "--imatrix",
              .kind = ValueKind::kPath,
              .value_name = "FILE",
              .help = "Importance matrix to quantize with; several are added up",
              .repeatable = true},
    OptionRow{.name = "--imatrix-out",
              .kind = ValueKind::kPath,
              .value_name = "FILE",
              .help = "Write the importance matrix here, too; measure one if none is given"},
    OptionRow{.name = "--include-weights",
              .kind = ValueKind::kText,
              .value_name = "NAME",
              .help = "Use the importance matrix only for tensors with NAME in their name",
              .repeatable = true},
    OptionRow{.name = "--exclude-weights",
              .kind = ValueKind::kText,
              .value_name = "NAME",
              .help = "Do not use the importance matrix for tensors with NAME in their name",
              .repeatable = true},
    OptionRow{.name = "--tensor-type",
              .kind = ValueKind::kText,
              .value_name = "REGEX=TYPE",
              .help = "Type of the tensors whose names match, such as attn_q=q8_0",
              .repeatable = true},
    OptionRow{.name = "--tensor-type-file",
              .kind = ValueKind::kPath,
              .value_name = "FILE",
              .help = "File of such REGEX=TYPE, between spaces or on lines; after --tensor-type"},
    OptionRow{.name = "--output-tensor-type",
              .kind = ValueKind::kText,
              .value_name = "TYPE",
              .help = "Type of output.weight"},
    OptionRow{.name = "--token-embedding-type",
              .kind = ValueKind::kText,
              .value_name = "TYPE",
              .help = "Type of the token embeddings"},
    OptionRow{.name = "--leave-output-tensor", .help = "Leave output.weight as it is"},
    OptionRow{.name = "--pure", .help = "The level's own type for all tensors, no mixture"},
    OptionRow{.name = "--prune-layers",
              .kind = ValueKind::kText,
              .value_name = "L0,L1,..",
              .help = "Numbers of layers to leave out"},
    OptionRow{.name = "--override-kv",
              .kind = ValueKind::kText,
              .value_name = "KEY=TYPE:VALUE",
              .help = "Metadata to set; TYPE is int, float, bool or str",
              .repeatable = true},
    OptionRow{.name = "--keep-split", .help = "As many files as the model has, split alike"},
    OptionRow{.name = kSplitMaxSize,
              .kind = ValueKind::kText,
              .value_name = "N(M|G)",
              .help = "Split into files of at most N million (M) or billion (G) bytes"},
    OptionRow{.name = "--allow-requantize",
              .help = "Quantize tensors that are quantized already, at a loss of quality"},
};

// The values of those options. Reads --tensor-type-file. Errors: kInvalidArgument, naming the
// option.
absl::StatusOr<v1::GgufOptions> GgufOptionsOf(const Values& values);

}  // namespace quantized

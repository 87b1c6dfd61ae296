#include "core/pipeline/convert.h"

#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/pipeline/conversion.h"
#include "core/pipeline/conversion_loss.h"
#include "core/pipeline/convert_directory.h"

namespace quantized {
namespace {

absl::StatusOr<Conversion> ConversionOf(const QuantizeRequest& request) {
  if (request.outputs.size() != 1) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("a conversion makes one output, found ", request.outputs.size()));
  }
  return PlanConversion(request.model_path, request.format, request.outputs[0].level);
}

// What Quantize is asked to do.
QuantizeRequest ToGguf(const QuantizeRequest& request, const Conversion& conversion) {
  QuantizeRequest job = request;
  job.outputs[0].level = conversion.level;
  job.conversion.blocks = conversion.blocks;
  job.gguf.allow_requantize = true;
  return job;
}

absl::Status CheckLoss(const QuantizeRequest& request, const Conversion& conversion) {
  if (conversion.fidelity != Fidelity::kRequantized || request.conversion.may_requantize) {
    return absl::OkStatus();
  }
  return MakeError(Error::kUnsupportedConversion,
                   StrCat("from ", conversion.from, " to ", conversion.to, " ", conversion.level,
                          " weights are quantized anew: ", conversion.why),
                   "Accept the loss of quality with --force");
}

}  // namespace

QuantizeOutcome Convert(const QuantizeRequest& request, JobContext& context) {
  const absl::StatusOr<Conversion> conversion = ConversionOf(request);
  if (!conversion.ok()) return {{}, conversion.status()};
  if (absl::Status loss = CheckLoss(request, *conversion); !loss.ok()) return {{}, std::move(loss)};
  if (conversion->to != "gguf") return ConvertToDirectory(request, *conversion, context);
  QuantizeOutcome outcome = Quantize(ToGguf(request, *conversion), context);
  for (QuantizeResult& result : outcome.finished) {
    result.original_dtype = conversion->from;
    result.fidelity = NameOf(conversion->fidelity);
  }
  return outcome;
}

absl::StatusOr<QuantizeForecast> ForecastConvert(const QuantizeRequest& request, size_t threads) {
  ASSIGN_OR_RETURN(const Conversion conversion, ConversionOf(request));
  if (conversion.to != "gguf") return ForecastConvertToDirectory(request, conversion, threads);
  const QuantizeRequest job = ToGguf(request, conversion);
  ASSIGN_OR_RETURN(QuantizeForecast forecast, ForecastQuantize(job, threads));
  forecast.conversion = ForecastOf(conversion);
  if (conversion.fidelity == Fidelity::kRequantized) {
    ASSIGN_OR_RETURN(forecast.conversion->relative_error, LossToGguf(job));
  }
  return forecast;
}

}  // namespace quantized

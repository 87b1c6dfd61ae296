// A progress sink for work that nobody waits for.
#pragma once

#include "core/base/job_context.h"

namespace quantized {

class NoProgress : public ProgressSink {
 public:
  void OnPhase(Phase) override {}
  void OnMessage(std::string_view) override {}
  void OnWarning(std::string_view) override {}
  void OnProgress(uint64_t, uint64_t, std::string_view, uint64_t) override {}
  void OnCheckpoint(uint64_t, const std::filesystem::path&) override {}
};

}  // namespace quantized

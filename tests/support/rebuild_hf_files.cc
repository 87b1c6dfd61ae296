// rebuild-hf-files MODEL OUT_DIR [PRE]: the configuration and tokenizer of a GGUF file, or of what
// a Hugging Face directory becomes as one, as files of a directory without weights. PRE names the
// pre-tokenizer where the model does not.

#include <cstdio>
#include <string>

#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/rebuild/hf_files.h"
#include "core/source/model_source.h"

namespace {

absl::Status Rebuild(const std::string& model, const std::filesystem::path& out,
                     const std::string& pre_tokenizer) {
  ASSIGN_OR_RETURN(const auto source,
                   quantized::OpenModelSource(model, {.pre_tokenizer = pre_tokenizer}));
  ASSIGN_OR_RETURN(const auto files, quantized::RebuildHfFiles(*source, pre_tokenizer));
  RETURN_IF_ERROR(quantized::CreateDirectories(out));
  for (const quantized::HfFile& file : files) {
    RETURN_IF_ERROR(quantized::WriteFileAtomically(out / file.name, file.bytes));
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: %s MODEL OUT_DIR [PRE]\n", argv[0]);
    return 2;
  }
  const absl::Status status = Rebuild(argv[1], argv[2], argc == 4 ? argv[3] : "");
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
